"""From a study's records to what the tables say: a row per arm, a row per comparison."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from vpbsd.pipeline.arms import THRESHOLDS
from vpbsd.pipeline.crossings import arm_title
from vpbsd.pipeline.recipes import is_reference
from vpbsd_sweeps.reporting import checks, significance
from vpbsd_sweeps.reporting.records import StudyRecords, TrialResult
from vpbsd_sweeps.reporting.significance import ALPHA, Paired, Scores, Spread, Spreads

COLUMNS = {
    "dsc": "DSC",
    "accuracy": "Acc",
    "hd95_vox": "HD95 [vox]",
    "jaccard": "Jaccard",
    "smd": "SMD",
    "cldice": "clDice",
}
"""Metrics of the table, with their titles."""
HIGHER_IS_BETTER = {"dsc", "accuracy", "jaccard", "cldice"}
PRIMARY = "dsc"
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

    def mean(self, metric: str) -> float:
        """Returns the mean over folds, of an arm that counts."""
        return self.spreads[metric].folds.mean


@dataclass(frozen=True)
class Comparison:
    """An arm against the baseline in one metric; p-values also corrected over all comparisons."""

    arm: str
    metric: str
    paired: Paired
    p_flip_holm: float = 1.0
    p_wilcoxon_holm: float = 1.0

    @property
    def mark(self) -> str:
        """Significance after correction."""
        return "**" if self.p_flip_holm < 0.01 else "*" if self.p_flip_holm < ALPHA else ""

    @property
    def gains(self) -> bool:
        """True where the arm is better than the baseline by more than noise."""
        gain = self.paired.difference * (1 if self.metric in HIGHER_IS_BETTER else -1)
        return gain > 0 and self.p_flip_holm < ALPHA


@dataclass(frozen=True)
class StudyAnalysis:
    """What a study found."""

    records: StudyRecords = field(repr=False)
    baseline: str
    rows: list[Row]
    comparisons: list[Comparison]

    @cached_property
    def valid(self) -> list[Row]:
        """Rows that enter averages, ranks and figures."""
        return [row for row in self.rows if row.spreads]

    @cached_property
    def columns(self) -> dict[str, str]:
        """Metrics of the table that were measured, with their titles."""
        have = set().union(*(row.spreads for row in self.valid))
        return {metric: title for metric, title in COLUMNS.items() if metric in have}

    @cached_property
    def metrics(self) -> list[str]:
        """All metrics that were measured: those of the table, then the others by name."""
        have = set().union(*(row.spreads for row in self.valid))
        return [*self.columns, *sorted(have - self.columns.keys())]

    @cached_property
    def winner(self) -> str | None:
        """The student arm with the highest mean DSC over folds, of those that are not unproven."""
        students = [row for row in self.valid if _competes(row)]
        return max(students, key=lambda r: (r.mean(PRIMARY), r.arm)).arm if students else None

    def row(self, arm: str) -> Row:
        """Returns the row of an arm."""
        return next(row for row in self.rows if row.arm == arm)

    def comparison(self, arm: str, metric: str) -> Comparison | None:
        """Returns the comparison of an arm in a metric, if it was compared."""
        found = (c for c in self.comparisons if (c.arm, c.metric) == (arm, metric))
        return next(found, None)

    def best(self, metric: str, arms: Collection[str]) -> list[str]:
        """Returns the students with the best mean of these arms, if it is more than noise.

        References and unproven arms never compete. The best must also gain on the baseline by the
        paired test, Holm-corrected over the whole study, or there is none.
        """
        sign = 1 if metric in HIGHER_IS_BETTER else -1
        students = [row for row in self.valid if row.arm in arms and _competes(row)]
        means = {row.arm: sign * row.mean(metric) for row in students if metric in row.spreads}
        first = [arm for arm, mean in means.items() if mean == max(means.values())]
        compared = [self.comparison(arm, metric) for arm in first]
        return [c.arm for c in compared if c is not None and c.gains]


def analyse(records: StudyRecords, baseline: str) -> StudyAnalysis:
    """Works out all rows and comparisons of a study."""
    void, flagged = checks.exclusions(records), checks.flags(records, baseline)
    partial = checks.incomplete(records)
    rows = [
        Row(
            arm=arm,
            trials=records.of_arm(arm),
            spreads={} if arm in void else spreads_by_metric(records.of_arm(arm)),
            void=void.get(arm, ""),
            partial=partial.get(arm, ""),
            note=checks.remarks(records.of_arm(arm)),
            differs=flagged.get(arm, []),
            unproven=checks.unproven(records.of_arm(arm)),
            may_have_seen=records.may_have_seen(arm),
        )
        for arm in records.arms
    ]
    analysis = StudyAnalysis(records, baseline, rows, [])
    return replace(analysis, comparisons=_corrected(list(_compared(analysis))))


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


def pair(row: Row, other: Row, metric: str) -> Paired | None:
    """Pairs two arms by volume and seed; a threshold, which knows no seed, with every seed."""
    return significance.compare(*_both(row, other, metric))


def differences(row: Row, other: Row, metric: str) -> significance.Array:
    """Averages the same pairs within each group that both arms have: (groups,)."""
    return significance.group_differences(*_both(row, other, metric))


def _both(row: Row, other: Row, metric: str) -> tuple[Scores, Scores]:
    mine, theirs = _seeded(row, other), _seeded(other, row)
    return scores(mine, metric), scores(theirs, metric)


def _seeded(row: Row, other: Row) -> list[TrialResult]:
    if row.arm not in THRESHOLDS:
        return row.trials
    seeds = sorted({trial.seed for trial in other.trials})
    return [replace(trial, seed=seed) for trial in row.trials for seed in seeds]


def _competes(row: Row) -> bool:
    return not is_reference(row.arm) and not row.unproven


def _compared(analysis: StudyAnalysis) -> Iterator[Comparison]:
    """Compares every arm that counts with the baseline, in every metric of the table."""
    standard = analysis.row(analysis.baseline)
    if not standard.spreads:
        return
    for row in analysis.valid:
        if row.arm == analysis.baseline:
            continue
        for metric in analysis.columns:
            paired = pair(row, standard, metric)
            if paired is not None:
                yield Comparison(row.arm, metric, paired)


def _corrected(comparisons: list[Comparison]) -> list[Comparison]:
    flips = significance.holm([c.paired.p_flip for c in comparisons])
    ranks = significance.holm([c.paired.p_wilcoxon for c in comparisons])
    return [
        replace(c, p_flip_holm=a, p_wilcoxon_holm=b)
        for c, a, b in zip(comparisons, flips, ranks, strict=True)
    ]
