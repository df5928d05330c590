"""Who shares what in a plan: trials by the teachers that they rest on, in a few lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from vpbsd.pipeline.stages import Family, Stage
from vpbsd_sweeps.store.results import State
from vpbsd_sweeps.study.study import Trial

TEACHERS: tuple[Family, ...] = ("pre-training", "fine-tuning")
AFTER: tuple[Family, ...] = ("targets", "student", "evaluation")
NAMED = 4
"""Arms of a line that are named; more are counted."""


def tree(trials: Iterable[Trial], states: dict[str, State]) -> Iterator[str]:
    """A line per row of teachers, over all folds: unique stages, how many of them are stored."""
    rows: defaultdict[tuple[str, ...], list[Trial]] = defaultdict(list)
    for trial in trials:
        stages = trial.stage.lineage()
        rows[tuple(s.label for s in stages if s.family in TEACHERS)].append(trial)
    for labels, own in rows.items():
        unique = {stage.key: stage for trial in own for stage in trial.stage.lineage()}
        kinds = [(name, [s for s in unique.values() if s.label == name]) for name in labels]
        kinds += [(name, [s for s in unique.values() if s.family == name]) for name in AFTER]
        row = " > ".join(_count(name, stages, states) for name, stages in kinds if stages)
        arms = list(dict.fromkeys(trial.arm for trial in own))
        yield f"{row}: " + (", ".join(arms) if len(arms) <= NAMED else f"{len(arms)} arms")


def _count(name: str, stages: list[Stage], states: dict[str, State]) -> str:
    stored = sum(states[stage.key] == "stored" for stage in stages)
    return f"{name} {len(stages)}" + (f" ({stored} stored)" if stored else "")
