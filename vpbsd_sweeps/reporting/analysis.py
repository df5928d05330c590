"""From a study's records to what the tables say: a row per arm, a row per comparison."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from vpbsd.pipeline.recipes import is_reference
from vpbsd_sweeps.reporting import checks
from vpbsd_sweeps.reporting.columns import COLUMNS, IN_UM, PRIMARY, check_primary, sign
from vpbsd_sweeps.reporting.comparisons import Comparison, compare, in_families
from vpbsd_sweeps.reporting.records import StudyRecords
from vpbsd_sweeps.reporting.rows import Row, spreads_by_metric

VPBSD = "vpbsd"


@dataclass(frozen=True)
class StudyAnalysis:
    """What a study found.

    Attributes:
        primary: The metric that decides.
    """

    records: StudyRecords = field(repr=False)
    baseline: str
    rows: list[Row]
    comparisons: list[Comparison]
    primary: str = PRIMARY

    @cached_property
    def valid(self) -> list[Row]:
        """Rows that enter averages, ranks and figures."""
        return [row for row in self.rows if row.spreads]

    @cached_property
    def columns(self) -> dict[str, str]:
        """Metrics of the table that were measured, with their titles.

        Micrometres take the place of voxels where all volumes were measured in them.
        """
        have = set().union(*(row.spreads for row in self.valid))
        hidden = {
            voxels if all(_replaceable(row, voxels) for row in self.valid) else um
            for voxels, um in IN_UM.items()
        }
        shown = have - (hidden - {self.primary})
        return {metric: title for metric, title in COLUMNS.items() if metric in shown}

    @cached_property
    def metrics(self) -> list[str]:
        """All metrics that were measured: those of the table, then the others by name."""
        have = set().union(*(row.spreads for row in self.valid))
        return [*self.columns, *sorted(have - self.columns.keys())]

    @cached_property
    def winner(self) -> str | None:
        """The student arm that is best by the mean over folds, of those that are not unproven."""
        students = [row for row in self.valid if row.competes]
        return self.leader(students).arm if students else None

    @cached_property
    def students(self) -> list[Row]:
        """Rows that are compared with the baseline, void ones too."""
        others = (row for row in self.rows if row.arm != self.baseline)
        return [row for row in others if not is_reference(row.arm)]

    @cached_property
    def candidates(self) -> list[Row]:
        """Students of which the primary comparison is: VpbSD, else all that are proven."""
        own = [row for row in self.students if row.arm == VPBSD]
        valid = [row for row in own or self.students if row.spreads]
        return [row for row in valid if not row.unproven] or valid

    def leader(self, rows: Collection[Row]) -> Row:
        """Returns the row of the best mean in the primary metric."""
        return max(rows, key=lambda r: (sign(self.primary) * r.mean(self.primary), r.arm))

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
        paired test, corrected within its family, or there is none.
        """
        students = [row for row in self.valid if row.arm in arms and row.competes]
        means = {r.arm: sign(metric) * r.mean(metric) for r in students if metric in r.spreads}
        first = [arm for arm, mean in means.items() if mean == max(means.values())]
        compared = [self.comparison(arm, metric) for arm in first]
        return [c.arm for c in compared if c is not None and c.gains]


def analyse(records: StudyRecords, baseline: str, primary: str | None = None) -> StudyAnalysis:
    """Works out all rows and comparisons of a study.

    Args:
        records: Of the study.
        baseline: Arm that others are compared with.
        primary: The metric that decides; None: the one that the study declared.

    Raises:
        BadInput: No table has such a metric, or the study did not measure it.
    """
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
    metric = check_primary(primary or records.primary)
    analysis = StudyAnalysis(records, baseline, rows, [], metric)
    if analysis.valid:
        check_primary(metric, analysis.columns)
    candidates = analysis.candidates
    place = (analysis.leader(candidates).arm, metric) if candidates else None
    found = in_families(_compared(analysis), place, len(candidates))
    return replace(analysis, comparisons=found)


def _replaceable(row: Row, metric: str) -> bool:
    """Tells whether every volume that was measured in voxels was in micrometres, too."""
    return all(
        t.values.get(metric, {}).keys() == t.values.get(IN_UM[metric], {}).keys()
        for t in row.trials
    )


def _compared(analysis: StudyAnalysis) -> Iterator[Comparison]:
    """Compares every arm that counts with the baseline, in every metric of the table."""
    standard = analysis.row(analysis.baseline)
    if not standard.spreads:
        return
    for row in analysis.valid:
        if row.arm == analysis.baseline:
            continue
        for metric in analysis.columns:
            compared = compare(row, standard, metric)
            if compared is not None:
                yield compared
