"""From a study's records to what the tables say: a row per arm, a row per comparison."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from vpbsd.pipeline.arms import TITLES
from vpbsd.pipeline.recipes import REFERENCES
from vpbsd_sweeps.reporting import checks as guards
from vpbsd_sweeps.reporting import significance
from vpbsd_sweeps.reporting.aggregates import COLUMNS, HIGHER_IS_BETTER
from vpbsd_sweeps.reporting.records import StudyRecords, TrialRun
from vpbsd_sweeps.reporting.significance import Paired, Scores, Spreads

PRIMARY = "dsc"


@dataclass(frozen=True)
class Row:
    """An arm.

    Attributes:
        spreads: Metric -> spreads; empty where the arm is left out.
        void: Why it is left out of averages, or "".
        partial: How much of it there is, in a report of an unfinished study, or "".
        differs: In what its runs differ from the baseline's beside the ablated factor.
    """

    arm: str
    trials: list[TrialRun]
    spreads: dict[str, Spreads]
    void: str
    partial: str
    differs: list[str]

    @property
    def title(self) -> str:
        """As people call it."""
        return TITLES.get(self.arm, self.arm)

    def mean(self, metric: str) -> float:
        """Over folds; of an arm that counts."""
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
        return "**" if self.p_flip_holm < 0.01 else "*" if self.p_flip_holm < 0.05 else ""


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
        """The student arm with the highest mean DSC over folds."""
        students = [row for row in self.valid if row.arm not in REFERENCES]
        return max(students, key=lambda r: (r.mean(PRIMARY), r.arm)).arm if students else None

    def row(self, arm: str) -> Row:
        """Of an arm."""
        return next(row for row in self.rows if row.arm == arm)

    def comparison(self, arm: str, metric: str) -> Comparison | None:
        """Of an arm in a metric, if it was compared."""
        found = (c for c in self.comparisons if (c.arm, c.metric) == (arm, metric))
        return next(found, None)

    def place(self, arm: str, metric: str) -> int:
        """1 for the best mean among the students that count, 2 for the second, else 0."""
        students = [row for row in self.valid if row.arm not in REFERENCES]
        sign = -1 if metric in HIGHER_IS_BETTER else 1
        order = sorted({sign * row.mean(metric) for row in students})
        mine = [sign * row.mean(metric) for row in students if row.arm == arm]
        rank = order.index(mine[0]) + 1 if mine else 0
        return rank if rank <= 2 else 0


def analyse(records: StudyRecords, baseline: str) -> StudyAnalysis:
    """All rows and comparisons of a study."""
    void, flagged = guards.exclusions(records), guards.flags(records, baseline)
    partial = guards.incomplete(records)
    rows = [
        Row(
            arm=arm,
            trials=records.of_arm(arm),
            spreads={} if arm in void else _spreads(records.of_arm(arm)),
            void=void.get(arm, ""),
            partial=partial.get(arm, ""),
            differs=flagged.get(arm, []),
        )
        for arm in records.arms
    ]
    analysis = StudyAnalysis(records, baseline, rows, [])
    return replace(analysis, comparisons=_corrected(list(_compared(analysis))))


def scores(trials: list[TrialRun], metric: str) -> Scores:
    """One metric of some trials, a row per volume."""
    rows = [
        (value, t.result.fold, t.groups.get(name, name), f"{t.result.fold}/{name}", t.result.seed)
        for t in trials
        for name, value in sorted(t.result.values.get(metric, {}).items())
    ]
    values, *names = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    folds, groups, volumes, seeds = (np.array(column, dtype=np.str_) for column in names)
    return Scores(np.array(values, np.float64), folds, groups, volumes, seeds)


def _spreads(trials: list[TrialRun]) -> dict[str, Spreads]:
    metrics = set().union(*(t.result.values for t in trials))
    return {metric: significance.spreads(scores(trials, metric)) for metric in sorted(metrics)}


def _compared(analysis: StudyAnalysis) -> Iterator[Comparison]:
    """Every arm that counts against the baseline, in every metric of the table."""
    standard = analysis.row(analysis.baseline)
    if not standard.spreads:
        return
    for row in analysis.valid:
        if row.arm == analysis.baseline:
            continue
        for metric in analysis.columns:
            paired = significance.compare(
                scores(row.trials, metric), scores(standard.trials, metric)
            )
            if paired is not None:
                yield Comparison(row.arm, metric, paired)


def _corrected(comparisons: list[Comparison]) -> list[Comparison]:
    flips = significance.holm([c.paired.p_flip for c in comparisons])
    ranks = significance.holm([c.paired.p_wilcoxon for c in comparisons])
    return [
        replace(c, p_flip_holm=a, p_wilcoxon_holm=b)
        for c, a, b in zip(comparisons, flips, ranks, strict=True)
    ]
