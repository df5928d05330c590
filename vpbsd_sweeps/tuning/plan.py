"""What a search would train at most, and what that costs; before anything runs."""

from __future__ import annotations

from collections.abc import Iterator

from vpbsd.pipeline.crossings import arm_title
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.inventory import look_up
from vpbsd_sweeps.tuning.search_spec import Search
from vpbsd_sweeps.units import hours

DEAR = ("pre-training", "fine-tuning", "targets")
"""Families that a change of a student's settings leaves alone, or nearly so."""


def plan_lines(search: Search, store: Store, trials: int) -> Iterator[str]:
    """Says what a search would train at most; reads manifests, never voxels or weights."""
    stages = [stage for trial in search.trials({}) for stage in trial.stage.lineage()]
    stock = look_up(search.name, {stage.key: stage for stage in stages}.values(), store)
    costs = stock.costs()
    dear = sum(costs[stage.key] for stage in stock.stages if stage.family in DEAR)
    cheap = sum(costs[stage.key] for stage in stock.stages if stage.family not in DEAR)
    teachers = -(-trials // search.students_per_teacher) if search.space.teacher else 1
    yield (
        f"search {search.name}: {arm_title(search.arm)}, sampler {search.sampler}, "
        f"{trials} trials, {len(search.folds)} folds, {len(search.seeds)} seeds"
    )
    yield from search.space.lines()
    yield f"teachers       {teachers:>5} at {hours(dear)} with all they say, over all folds"
    yield f"students       {trials:>5} at {hours(cheap)} with evaluation, over all folds and seeds"
    yield (
        f"work at most {hours(teachers * dear + trials * cheap)}, less what is stored and what "
        f"is stopped early; a teacher per trial {hours(trials * (dear + cheap))} ({stock.basis})"
    )
