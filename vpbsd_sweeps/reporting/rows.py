"""A row per arm: its trials, what they are worth on average, and how two arms differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vpbsd.pipeline.crossings import arm_title
from vpbsd.pipeline.recipes import is_reference
from vpbsd_sweeps.reporting import significance
from vpbsd_sweeps.reporting.records import TrialResult
from vpbsd_sweeps.reporting.significance import Scores, Spread, Spreads

FLOOR = "threshold_dsc"
"""Dice of the single grey threshold that fits a test volume best, which knows the label."""


@dataclass(frozen=True)
class Row:
    """An arm.

    Attributes:
        spreads: Metric -> spreads; empty where the arm is left out.
        void: Why it is left out of averages, or "".
        partial: How much of it there is, in a report of an unfinished study, or "".
        note: What is to be known of its trials though they count, or "".
        unproven: Why it is never the best though it counts, or "".
        differs: In what its runs differ from the baseline's beside the ablated factor.
        may_have_seen: Whether it may have been trained on the test volumes.
    """

    arm: str
    trials: list[TrialResult]
    spreads: dict[str, Spreads]
    void: str
    partial: str
    note: str
    differs: list[str]
    unproven: str = ""
    may_have_seen: bool = False

    @property
    def title(self) -> str:
        """Its name as people say it."""
        return arm_title(self.arm)

    @property
    def competes(self) -> bool:
        """True of a student that is not unproven: it may be the best."""
        return not is_reference(self.arm) and not self.unproven

    def mean(self, metric: str) -> float:
        """Returns the mean over folds, of an arm that counts."""
        return self.spreads[metric].folds.mean


def scores(trials: Sequence[TrialResult], metric: str) -> Scores:
    """Gathers one metric of some trials, a row per volume."""
    rows = [
        (value, t.fold, t.groups.get(name, name), f"{t.fold}/{name}", t.seed)
        for t in trials
        for name, value in sorted(t.values.get(metric, {}).items())
    ]
    values, *names = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    folds, groups, volumes, seeds = (np.array(column, dtype=np.str_) for column in names)
    return Scores(np.array(values, np.float64), folds, groups, volumes, seeds)


def spreads_by_metric(trials: Sequence[TrialResult]) -> dict[str, Spreads]:
    """Averages every metric that some trials have."""
    metrics = set().union(*(t.values for t in trials))
    return {metric: significance.spreads(scores(trials, metric)) for metric in sorted(metrics)}


def threshold_floor(trials: Sequence[TrialResult]) -> Spread | None:
    """Averages the best single threshold's Dice over folds; None where it was not measured.

    It says nothing about an arm, so a void or failed trial's test volumes are as good as any.
    """
    per_fold = {t.fold: t for t in trials if FLOOR in t.values}
    if not per_fold:
        return None
    return significance.spreads(scores(list(per_fold.values()), FLOOR)).folds


def differences(row: Row, other: Row, metric: str) -> significance.Array:
    """Pairs two arms by volume and seed; averages within each group that both have: (groups,).

    The one value of an arm without seeds stands against every seed of the other.
    """
    return significance.group_differences(scores(row.trials, metric), scores(other.trials, metric))
