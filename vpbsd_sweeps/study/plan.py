"""What a study will train, what is stored already, and what it will cost; before anything runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vpbsd.errors import BadInput
from vpbsd.pipeline.stages import Family
from vpbsd_sweeps.execution.slices import ON_GPUS
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.inventory import FAMILIES, Inventory, look_up
from vpbsd_sweeps.study.sharing import tree
from vpbsd_sweeps.study.study import Study
from vpbsd_sweeps.study.void import voided_by
from vpbsd_sweeps.units import hours, volume

GPU_IN_CORES = 30
"""Cores that one GPU is taken for until a stage was measured on one: a guess, and said to be."""


@dataclass(frozen=True)
class Plan:
    """A study and the stock of its unique stages."""

    study: Study
    stock: Inventory

    def requested(self) -> Counter[Family]:
        """Stage runs per family if every trial trained its own."""
        counts = Counter(s.family for t in self.study.trials for s in t.stage.lineage())
        return counts + Counter(stage.family for stage in self.study.timings)

    def lines(self) -> Iterator[str]:
        """The plan as people and scripts read it."""
        study, stock, requested = self.study, self.stock, self.requested()
        yield (
            f"study {study.name}: {len(study.arms)} arms, {len(study.folds)} folds, "
            f"{len(study.seeds)} seeds = {len(study.trials)} trials"
        )
        yield from (f"arm {arm}" for arm in study.arms)
        yield "stage          requested | unique | stored | damaged"
        for family in (f for f in FAMILIES if requested[f]):
            states = Counter(stock.states[s.key] for s in stock.stages if s.family == family)
            yield (
                f"{family:<14} {requested[family]:>9} | {states.total():>6} "
                f"| {states['stored']:>6} | {states['damaged']:>7}"
            )
        costs = stock.costs()
        left = sum(costs[stage.key] for stage in stock.missing)
        naive = sum(costs[s.key] for t in study.trials for s in t.stage.lineage())
        basis = "measured" if stock.seconds else "guessed for one core, nothing measured yet"
        yield f"work left {hours(left)}; every trial on its own {hours(naive)} ({basis})"
        yield f"longest path {hours(self.longest_path(costs))}: more slices do not shorten it"
        taken = f"a GPU taken as {GPU_IN_CORES} cores"
        shares = ", ".join(f"{family} {piece.gpus:g}" for family, piece in ON_GPUS.items())
        yield (
            f"on GPUs about {self.gpu_hours():.2g} GPU-hours "
            f"({'measured' if stock.on_gpu else taken}); share of a GPU: {shares}"
        )
        size, there = sum(stock.bytes().values()), sum(stock.sizes.values())
        yield f"disk for results about {volume(size)}, {volume(there)} of it stored"
        yield "shared stages, over all folds:"
        yield from (f"  {line}" for line in tree(study.trials, stock.states))

    def longest_path(self, costs: dict[str, float]) -> float:
        """Seconds of the longest row of stages to run, each of which waits for the one before."""
        missing = {stage.key for stage in self.stock.missing}
        until: dict[str, float] = {}
        for stage in self.stock.stages:  # upstream first
            above = max((until[up.key] for up in stage.upstream.values()), default=0.0)
            until[stage.key] = above + (costs[stage.key] if stage.key in missing else 0.0)
        return max(until.values(), default=0.0)

    def gpu_hours(self) -> float:
        """What is left, in hours of whole GPUs, were it run on GPU slices."""
        costs = self.stock.costs()
        return sum(
            ON_GPUS[stage.family].gpus * costs[stage.key] / 3600 for stage in self.stock.missing
        ) / (1 if self.stock.on_gpu else GPU_IN_CORES)

    def check_budget(self, most: float | None) -> None:
        """Refuses a study that would take more than it may.

        Raises:
            BadInput: The estimate is above `most` GPU-hours.
        """
        if most is not None and self.gpu_hours() > most:
            raise BadInput(
                f"study '{self.study.name}' would take about {self.gpu_hours():.2g} GPU-hours, "
                f"--max-gpu-hours allows {most:g}: ask for fewer arms, folds or seeds, or raise it"
            )


def make_plan(study: Study, store: Store) -> Plan:
    """Looks up every stage of a study; reads manifests, never voxels or weights."""
    return Plan(study, look_up(study.name, study.stages(), store))


OUTLINE = "outline.json"


def outline(plan: Plan) -> dict[str, Any]:
    """Stages (key, family, label, guessed seconds) and trials (arm, key, what would void them).

    Of a stage also whether it was stored before, and how many trials and timings ask for it.
    """
    costs, states = plan.stock.costs(), plan.stock.states
    asked = Counter(stage.key for trial in plan.study.trials for stage in trial.stage.lineage())
    return {
        "stages": [
            {
                "key": stage.key,
                "family": stage.family,
                "label": stage.label,
                "guess": costs[stage.key],
                "before": states[stage.key] == "stored",
                "asked": asked[stage.key] or 1,
            }
            for stage in plan.stock.stages
        ],
        "trials": [
            {
                "arm": trial.arm,
                "key": trial.stage.key,
                "voided_by": [stage.key for stage in voided_by(trial.stage)],
            }
            for trial in plan.study.trials
        ],
    }
