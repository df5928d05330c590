"""The default search space: settings, ranges and conditions, and which of them an arm uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from vpbsd.errors import BadInput
from vpbsd.overrides import override
from vpbsd.pipeline.stages import Family, Stage
from vpbsd.settings import Settings
from vpbsd_sweeps.tuning.space import Choice, Parameter, Range, Space, parse_parameter

BOOK = "pretrain.network.codebook"
OF_TEACHERS: frozenset[Family] = frozenset({"pre-training", "fine-tuning"})
GUMBEL = (f"{BOOK}.straight_through", "gumbel")
"""The deterministic copy draws no sample: temperature, kappa and noise mean nothing to it."""
SPACE = (
    # teacher and its patterns
    Parameter("data.clip_percentile", Choice((95.0, 99.0, 99.5))),
    Parameter(f"{BOOK}.size", Choice((64, 128, 256, 512, 1024))),
    Parameter(f"{BOOK}.alignment", Choice(("conv1", "linear", "chsel", "linear_flat"))),
    Parameter(f"{BOOK}.commitment", Range(0.05, 2, log=True)),
    Parameter(f"{BOOK}.warm", Choice((0.1, 0.2, 0.3))),
    Parameter(f"{BOOK}.straight_through", Choice(("gumbel", "copy"))),
    Parameter(f"{BOOK}.tau_start", Range(1, 4), GUMBEL),
    Parameter(f"{BOOK}.tau_floor", Range(0.1, 0.9), GUMBEL),
    Parameter(f"{BOOK}.tau_share", Range(0.3, 1), GUMBEL),
    Parameter(f"{BOOK}.noise", Choice(("post", "pre")), GUMBEL),
    Parameter(f"{BOOK}.kappa_factor", Range(0.1, 30, log=True), GUMBEL),
    Parameter("pretrain.alpha", Range(0.01, 1, log=True)),
    Parameter("pretrain.skip_drop", Choice((0.0, 0.5, 1.0))),
    Parameter("pretrain.reconstruction", Choice(("mse", "l1"))),
    Parameter("finetune.lr", Range(1e-6, 1e-4, log=True)),
    # student
    Parameter("student.optim.lr", Range(1e-3, 3e-2, log=True)),
    Parameter("student.optim.final_ratio", Choice((0.1, 0.01, 0.001))),
    Parameter("student.optim.weight_decay", Choice((0.0, 1e-6, 1e-5, 1e-4, 1e-3))),
    Parameter("student.beta", Range(0.1, 1, log=True)),
    Parameter("student.ramp_epochs", Choice((40.0, 80.0, 150.0, 300.0))),
    Parameter("student.gamma", Range(0.1, 10, log=True)),
    Parameter("student.distil_on", Choice(("both", "labelled"))),
    Parameter("student.mid", Range(0.1, 100, log=True)),
    Parameter("student.others_on", Choice(("both", "labelled"))),
    Parameter("student.first_phase", Choice((0.1, 0.2, 0.33))),
    Parameter("student.kd.temperature", Choice((1.0, 2.0, 4.0, 8.0))),
    Parameter("student.kd.weight", Range(0.1, 10, log=True)),
    Parameter("student.vid.weight", Range(0.01, 10, log=True)),
    Parameter("student.vid.hidden", Choice((192, 384, 768))),
    Parameter("student.ab.margin", Choice((0.5, 1.0, 2.0))),
    Parameter("student.ab.weight", Range(1, 100, log=True)),
)
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
WIDTHS = "student.network.widths=[2,8,12,32],[4,8,16,32],[4,16,20,32],[8,16,24,32],[8,32,40,32]"
"""Searched too where cost is an objective. The deepest width is that of the code words: it stays,
or every student would need a teacher of its own."""
StagesOf = Callable[[Settings], Stage]
"""From settings to the stage a trial ends with."""


def space_of(
    settings: Settings, preset: str, stage_of: StagesOf, asked: list[str], *, students: bool
) -> Space:
    """The parameters that matter to an arm.

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
    """Families of the stages that are other stages once a parameter has another value."""
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
