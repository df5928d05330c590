"""What a study will train, what is stored already, and what it will cost; before anything runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from sweeps.costs import guess
from sweeps.store import State, Store
from sweeps.study import Study
from vpbsd.stages import Family, Stage

FAMILIES: tuple[Family, ...] = (
    "pre-training",
    "fine-tuning",
    "targets",
    "student",
    "evaluation",
)


@dataclass(frozen=True)
class Plan:
    """A study's unique stages and the state of each in the store."""

    study: Study
    stages: tuple[Stage, ...]
    states: dict[str, State]
    seconds: dict[str, float]
    """Key -> measured seconds of a stored stage."""

    @property
    def missing(self) -> list[Stage]:
        """Stages to run: not stored, or stored damaged."""
        return [stage for stage in self.stages if self.states[stage.key] != "stored"]

    def requested(self) -> Counter[Family]:
        """Stage runs per family if every trial trained its own."""
        return Counter(
            stage.family for trial in self.study.trials for stage in trial.stage.lineage()
        )

    def lines(self) -> Iterator[str]:
        """The plan as people and scripts read it."""
        study, requested = self.study, self.requested()
        yield (
            f"study {study.name}: {len(study.arms)} arms, {len(study.folds)} folds, "
            f"{len(study.seeds)} seeds = {len(study.trials)} trials"
        )
        yield from (f"arm {arm}" for arm in study.arms)
        yield "stage          requested | unique | stored | damaged"
        for family in FAMILIES:
            states = Counter(self.states[s.key] for s in self.stages if s.family == family)
            yield (
                f"{family:<14} {requested[family]:>9} | {states.total():>6} "
                f"| {states['stored']:>6} | {states['damaged']:>7}"
            )
        costs = self.costs()
        left = sum(costs[stage.key] for stage in self.missing)
        naive = sum(costs[s.key] for t in study.trials for s in t.stage.lineage())
        basis = "measured" if self.seconds else "guessed for one core, nothing measured yet"
        yield f"work left {hours(left)}; every trial on its own {hours(naive)} ({basis})"

    def costs(self) -> dict[str, float]:
        """Key -> seconds: its own if measured, else a guess scaled by what its family took."""
        guesses = {stage.key: guess(stage) for stage in self.stages}
        ratios: dict[str, list[float]] = {}
        for stage in self.stages:
            if stage.key in self.seconds and guesses[stage.key] > 0:
                ratio = self.seconds[stage.key] / guesses[stage.key]
                ratios.setdefault(stage.family, []).append(ratio)
        factor = {family: median(values) for family, values in ratios.items()}
        return {
            stage.key: self.seconds.get(
                stage.key, guesses[stage.key] * factor.get(stage.family, 1.0)
            )
            for stage in self.stages
        }


def make_plan(study: Study, store: Store) -> Plan:
    """Looks up every stage of a study; reads manifests, never voxels or weights."""
    stages = tuple(study.stages())
    states = {stage.key: store.state(stage.key) for stage in stages}
    seconds = {}
    for stage in stages:
        manifest = store.manifest(stage.key)
        if manifest is not None and "seconds" in manifest.facts:
            seconds[stage.key] = float(manifest.facts["seconds"])
    return Plan(study, stages, states, seconds)


def hours(seconds: float) -> str:
    """A duration of work, from ``12 s`` to ``3.1 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
