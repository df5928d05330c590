"""What must be said below the tables: how numbers were averaged, tested and marked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vpbsd.pipeline.recipes import is_reference
from vpbsd_sweeps.reporting.analysis import StudyAnalysis
from vpbsd_sweeps.reporting.columns import COLUMNS, meanings
from vpbsd_sweeps.reporting.grid import (
    DIFFERS,
    NOTED,
    PARTIAL,
    SEEN,
    UNPROVEN,
    VOID,
    p_value,
)
from vpbsd_sweeps.reporting.rows import Row
from vpbsd_sweeps.reporting.significance import ALPHA
from vpbsd_sweeps.reporting.threshold import against_threshold
from vpbsd_sweeps.study.identity import counted_folds, protocol_of


def main_notes(analysis: StudyAnalysis, rows: Sequence[Row]) -> Iterator[str]:
    """Yields the notes below the main table, or below some rows of it."""
    identity = analysis.records.identity
    protocol = protocol_of(identity)
    how = "regions in space" if protocol.split == "space" else "groups"
    groups = {g for row in analysis.valid for t in row.trials for g in t.groups.values()}
    yield (
        f"Mean ± standard deviation over {counted_folds(identity)} of {how}, "
        f"{len(groups)} groups in all; {len(identity['seeds'])} student seed(s), averaged "
        "within a fold; one teacher seed."
    )
    if protocol.train_groups is not None:
        yield (
            f"{protocol.train_groups} training group(s) per fold kept their labels (draw "
            f"{protocol.draw}); the volumes of the others were unlabelled."
        )
    yield meanings(analysis.columns or COLUMNS)
    yield _rule_for_bold(analysis, rows)
    yield _rule_for_marks(analysis)
    yield from against_threshold(analysis)
    for row in rows:
        if row.void:
            yield f"{VOID} {row.title}: left out of all averages; {row.void}."
        if row.differs:
            yield f"{DIFFERS} {row.title} differs from the baseline in {'; '.join(row.differs)}."
        if row.partial:
            yield f"{PARTIAL} {row.title}: {row.partial}; its numbers will change."
        if row.unproven:
            yield (
                f"{UNPROVEN} {row.title}: unproven, so never bold nor the best: {row.unproven}; "
                "L_dis claims nothing."
            )
        if row.note:
            yield f"{NOTED} {row.title}: {row.note}."
    yield from _seen(rows)


def _seen(rows: Sequence[Row]) -> Iterator[str]:
    """Says which masks of other tools may come from one that knows the test volumes."""
    titles = [row.title for row in rows if row.may_have_seen]
    if titles:
        yield (
            f"{SEEN} {', '.join(titles)}: may have been trained on these test volumes; no network "
            "of this study was."
        )


def _rule_for_bold(analysis: StudyAnalysis, rows: Sequence[Row]) -> str:
    references = [row.title for row in rows if is_reference(row.arm)]
    apart = f"; {' and '.join(references)} set apart as reference" if references else ""
    return (
        f"Bold: best mean of the students, where p < {ALPHA} (as below) says that it beats "
        f"{analysis.row(analysis.baseline).title}; none where it is within noise{apart}."
    )


def _rule_for_marks(analysis: StudyAnalysis) -> str:
    """Says what the stars mean, and what is corrected together."""
    title = analysis.row(analysis.baseline).title
    if not analysis.comparisons:
        return f"Nothing was compared: {title}, the baseline, is void or the only arm that counts."
    fewest = min(c.test.groups for c in analysis.comparisons)
    least = min(c.p_least for c in analysis.comparisons)
    weak = (
        f" With so few, no exact test gives a p below {p_value(least)}: all rests on their "
        "differences being normal."
        if least >= ALPHA
        else ""
    )
    return (
        f"* p < 0.05, ** p < 0.01 against {title}: paired t-test over {fewest} groups; "
        f"{_families(analysis)}.{weak}"
    )


def _families(analysis: StudyAnalysis) -> str:
    """Says which comparison is the primary one, and how the others are corrected."""
    first = next((c for c in analysis.comparisons if c.family == "primary"), None)
    others = sum(c.family == "secondary" for c in analysis.comparisons)
    if first is None and others:  # VpbSD is void
        return f"none is the primary comparison; Holm over the {others} of students"
    if first is None:
        return "references are in no family and bear no stars"
    picked = len(analysis.candidates)
    best = f", the best of {picked}, so times {picked}," if picked > 1 else ""
    alone = (
        f"{analysis.row(first.arm).title}{best} on {COLUMNS[first.metric]} is the primary "
        "comparison and a family of its own"
    )
    return f"{alone}; Holm over the {others} others of students" if others else alone


def comparison_notes(analysis: StudyAnalysis) -> Iterator[str]:
    """Yields the notes below the table of comparisons."""
    yield from _seen(analysis.valid)
    yield (
        f"Arm less {analysis.row(analysis.baseline).title}, paired by volume and seed; the "
        "independent unit is the group (seeds averaged within volumes, volumes within groups)."
    )
    yield (
        "p and 95 % interval: of one paired t-test over groups, so the interval excludes 0 just "
        f"where p < {ALPHA}. Corrected: {_families(analysis)}. Sign-flip and Wilcoxon: exact, "
        "two-sided, uncorrected, and free of the t-test's assumption that differences are normal; "
        "with n groups they can give no p below 2^(1 - n)."
    )
    yield (
        "d_z: mean of the groups' differences over their standard deviation. Detectable: the true "
        "difference that the t-test at 5 % would show with 80 % power, given so many groups "
        "and the spread seen; uncorrected, so the least that can be hoped for."
    )
