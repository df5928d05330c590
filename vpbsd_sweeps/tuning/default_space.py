"""The default search space: what the settings declare as searched, and what of it an arm uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from vpbsd.errors import BadInput
from vpbsd.overrides import override
from vpbsd.pipeline.stages import Family, Stage
from vpbsd.search_ranges import Choice, Range, Searched, SearchedWithin
from vpbsd.section import Section
from vpbsd.settings import Settings, paper
from vpbsd_sweeps.tuning.space import Parameter, Space, parse_parameter

BOOK = "pretrain.network.codebook"
OF_TEACHERS: frozenset[Family] = frozenset({"pre-training", "fine-tuning"})


def searched(section: Section, prefix: str = "") -> Iterator[Parameter]:
    """Yields what a search varies of a section and of those within, as its fields declare it."""
    for name, field in type(section).model_fields.items():
        path = f"{prefix}{name}"
        for note in field.metadata:
            if isinstance(note, Searched):
                when = note.when and (f"{prefix}{note.when[0]}", note.when[1])
                yield Parameter(path, note.values, when)
            if isinstance(note, SearchedWithin):
                yield from (Parameter(f"{path}.{of}", how) for of, how in note.fields.items())
        within = getattr(section, name)
        if isinstance(within, Section):
            yield from searched(within, f"{path}.")


SPACE = tuple(searched(paper()))
"""Of every arm; what an arm does not use is left out by `space_of`."""
SCALED: dict[str, dict[str, Range | Choice]] = {
    "laptop": {
        f"{BOOK}.size": Choice((8, 16, 24, 48)),  # 48 codes are the most its warm-up can start
        f"{BOOK}.alignment": Choice(("conv1", "linear", "chsel")),
        f"{BOOK}.warm": Choice((0.2, 0.3, 0.4)),
        f"{BOOK}.kappa_factor": Range(0.5, 16, log=True),
        "pretrain.skip_drop": Choice((0.5, 1.0)),
        "finetune.lr": Range(2e-3, 2e-2, log=True),
        "student.ramp_epochs": Choice((4.0, 8.0, 15.0, 30.0)),
    },
}
"""What a preset searches elsewhere than the published settings."""
SCALED["smoke"] = SCALED["laptop"] | {
    f"{BOOK}.size": Choice((3, 4)),
    f"{BOOK}.warm": Choice((0.5, 0.6)),
    "student.ramp_epochs": Choice((1.0, 2.0)),
}
WIDTHS = "student.network.widths=[2,8,12,32],[4,8,16,32],[4,16,20,32],[8,16,24,32],[8,32,40,32]"
"""Searched too where cost is an objective. The deepest width is that of the code words: it stays,
or every student would need a teacher of its own."""
StagesOf = Callable[[Settings], Stage]
"""From settings to the stage a trial ends with."""


def space_of(
    settings: Settings, preset: str, stage_of: StagesOf, asked: list[str], *, students: bool
) -> Space:
    """Picks the parameters that matter to an arm.

    Args:
        settings: Of what is not varied.
        preset: Whose ranges are taken.
        stage_of: Of the arm; its keys tell what a parameter touches.
        asked: `path=low:high[:log]` or `path=a,b,c`; they replace the ranges here, or add to them.
        students: Only what needs no other teacher.

    Raises:
        BadInput: A parameter asked for does not exist, or changes nothing in this arm.
    """
    known = {p.path: replace(p, values=_scaled(p, preset)) for p in SPACE}
    own = {p.path: p for p in (parse_parameter(text, settings) for text in asked)}
    every = known | {path: replace(known.get(path, p), values=p.values) for path, p in own.items()}
    levels: dict[bool, list[Parameter]] = {True: [], False: []}
    for path, parameter in every.items():
        families = touched(settings, parameter, stage_of)
        if path in own and not families:
            raise BadInput(
                f"--param {path}: changes nothing in this arm or data set, leave it out"
            )
        if families:
            levels[bool(families & OF_TEACHERS)].append(parameter)
    kept = [p for p in levels[True] if not students or p.path in own]
    return Space(settings, tuple(kept), tuple(levels[False]))


def touched(settings: Settings, parameter: Parameter, stage_of: StagesOf) -> frozenset[Family]:
    """Returns the families of the stages that change once a parameter has another value."""
    if parameter.when is not None:
        settings = override(settings, dict([parameter.when]))
    before = {stage.key for stage in stage_of(settings).lineage()}
    families: set[Family] = set()
    for value in parameter.values.ends:
        try:
            last = stage_of(override(settings, {parameter.path: value}))
        except BadInput:
            continue  # a point that cannot be trained; others of its range can
        families |= {stage.family for stage in last.lineage() if stage.key not in before}
    return frozenset(families)


def _scaled(parameter: Parameter, preset: str) -> Range | Choice:
    return SCALED.get(preset, {}).get(parameter.path, parameter.values)
