"""Says how the best student stands against a threshold chosen without the test's label."""

from __future__ import annotations

from collections.abc import Iterator

from vpbsd.pipeline.arms import EXTERNAL, THRESHOLDS
from vpbsd_sweeps.reporting.analysis import StudyAnalysis
from vpbsd_sweeps.reporting.columns import PRIMARY
from vpbsd_sweeps.reporting.grid import p_value, signed
from vpbsd_sweeps.reporting.paired_t import paired_t
from vpbsd_sweeps.reporting.rows import differences

FAIR = "threshold"


def against_threshold(analysis: StudyAnalysis) -> Iterator[str]:
    """Yields the paired difference to the fair threshold, and a line if no network beats that."""
    fair = next((row for row in analysis.valid if row.arm == FAIR), None)
    if fair is None or analysis.winner is None:
        return
    best, floor = analysis.row(analysis.winner), fair.mean(PRIMARY)
    others = [row for row in analysis.valid if row.arm not in THRESHOLDS]
    networks = [row for row in others if not row.arm.startswith(EXTERNAL)]
    if floor >= max(row.mean(PRIMARY) for row in networks):
        yield (
            f"No network beats a threshold: one chosen on the training groups reaches DSC "
            f"{floor:.3f}; the best student, {best.title}, {best.mean(PRIMARY):.3f}."
        )
    found = differences(best, fair, PRIMARY)
    if found.size:
        test = paired_t(found)
        yield (
            f"Best student, {best.title}, less the threshold of the training groups: DSC "
            f"{signed(test.difference)} (95 % interval {signed(test.low)} to {signed(test.high)}, "
            f"p {p_value(test.p)}, {test.groups} groups, uncorrected)."
        )
