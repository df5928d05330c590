"""The answer of a study in one sentence: is VpbSD better than the baseline, and how sure is that.

The primary comparison is one family of tests: VpbSD against the baseline in the primary metric.
Where VpbSD is not among the arms it is the best student's, corrected for having been picked. All
other comparisons of students are secondary: Holm among themselves. References are in neither.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from vpbsd_sweeps.reporting.analysis import VPBSD, StudyAnalysis
from vpbsd_sweeps.reporting.columns import COLUMNS, HIGHER_IS_BETTER, sign
from vpbsd_sweeps.reporting.grid import p_value, signed
from vpbsd_sweeps.reporting.paired_t import MOST_GROUPS, PairedT, detectable, paired_t
from vpbsd_sweeps.reporting.rows import Row, differences
from vpbsd_sweeps.reporting.significance import ALPHA, least_p, sign_flip


class Outcome(StrEnum):
    """How an arm stands against the baseline."""

    BETTER = "better"
    """The interval of the difference lies on the good side of zero, and the arm is proven."""
    CANNOT_TELL = "cannot tell"
    """The interval holds zero, there is none, or the arm is unproven, which is never the best."""
    WORSE = "worse"
    """The interval lies on the bad side of zero."""
    VOID = "void"
    """The arm or the baseline has a void or failed trial, so that nothing can be compared."""


@dataclass(frozen=True)
class Secondary:
    """Another comparison with the baseline; its p is also Holm-corrected among all of these."""

    arm: str
    metric: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float


@dataclass(frozen=True)
class Verdict:
    """The primary comparison of a study.

    Attributes:
        outcome: Better, cannot tell, worse or void.
        sentence: All of it, for people.
        metric: The primary one.
        arm: VpbSD, else the best student; "" where there is none.
        baseline: The arm it is compared with.
        picked_from: How many students it is the best of; 1 for VpbSD, which was not picked.
        test: Paired t-test over groups; None where nothing can be compared.
        p_sign_flip: Exact sign-flip p over the same groups, corrected as the test's p is.
        detectable: See `significance.detectable`; NaN where groups do not spread.
        unproven: Why the arm is never the best though it counts, or "".
        secondary: Every other comparison of a student with the baseline.
    """

    outcome: Outcome
    sentence: str
    metric: str
    arm: str
    baseline: str
    picked_from: int = 1
    test: PairedT | None = None
    p_sign_flip: float = 1.0
    detectable: float = math.nan
    unproven: str = ""
    secondary: tuple[Secondary, ...] = ()

    def plain(self) -> dict[str, Any]:
        """Returns all of it as JSON can hold it: a number that is not finite is None."""
        return {name: _finite(value) for name, value in asdict(self).items()}


def verdict(analysis: StudyAnalysis) -> Verdict:
    """Answers whether VpbSD, else the best student, beats the baseline in the primary metric."""
    base, metric = analysis.row(analysis.baseline), analysis.primary
    own = next((row for row in analysis.students if row.arm == VPBSD), None)
    void = [row for row in [base, *([own] if own else [])] if row.void]
    if not void and not analysis.candidates:
        void = analysis.students
    if void:
        why = "; ".join(f"{row.title}: {row.void}" for row in void)
        says = f"Void: nothing can be said on {COLUMNS[metric]}. {why}."
        return Verdict(Outcome.VOID, says, metric, own.arm if own else "", base.arm)
    if not analysis.candidates:
        says = f"Cannot tell: there is no student to compare with {base.title}."
        return Verdict(Outcome.CANNOT_TELL, says, metric, "", base.arm)
    return _compared(analysis)


def _compared(analysis: StudyAnalysis) -> Verdict:
    """Tests the best candidate, corrected for how many there are."""
    base, metric = analysis.row(analysis.baseline), analysis.primary
    best, family = analysis.leader(analysis.candidates), len(analysis.candidates)
    found = differences(best, base, metric)
    if not found.size:
        says = f"Cannot tell: {best.title} and {base.title} share no test volume."
        return Verdict(Outcome.CANNOT_TELL, says, metric, best.arm, base.arm, family)
    test, flip = paired_t(found, family), min(1.0, family * sign_flip(found))
    outcome = Outcome.CANNOT_TELL
    if test.tells:
        outcome = Outcome.BETTER if sign(metric) * test.difference > 0 else Outcome.WORSE
    measured = outcome
    if best.unproven and outcome is Outcome.BETTER:
        outcome = Outcome.CANNOT_TELL
    seen = detectable(found)
    name = best.title if family == 1 else f"{best.title}, the best of {family} students,"
    lines = [_head(measured, name, base.title, metric), _numbers(test) + "."]
    lines += [*_unproven(best, measured), *_exact(measured, test, flip, family)]
    lines += _outlook(measured, test, seen, family)
    sofar = "So far, of an unfinished study: " if best.partial or base.partial else ""
    if metric != analysis.records.primary:
        lines.append(f"(The study had declared {COLUMNS[analysis.records.primary]} to decide.)")
    return Verdict(
        outcome=outcome,
        sentence=sofar + " ".join(lines),
        metric=metric,
        arm=best.arm,
        baseline=base.arm,
        picked_from=family,
        test=test,
        p_sign_flip=flip,
        detectable=seen,
        unproven=best.unproven,
        secondary=_secondary(analysis),
    )


def _secondary(analysis: StudyAnalysis) -> tuple[Secondary, ...]:
    return tuple(
        Secondary(
            c.arm, c.metric, c.test.difference, c.test.low, c.test.high, c.test.p, p_holm=c.p
        )
        for c in analysis.comparisons
        if c.family == "secondary"
    )


def _head(outcome: Outcome, name: str, base: str, metric: str) -> str:
    title = COLUMNS[metric] + ("" if metric in HIGHER_IS_BETTER else " (lower is better)")
    if outcome is Outcome.CANNOT_TELL:
        return f"Cannot tell whether {name} is better than {base} on {title}:"
    return f"{name} is {outcome} than {base} on {title}:"


def _numbers(test: PairedT) -> str:
    if test.groups == 1:
        return f"{signed(test.difference)} in the one group there is, which has no spread"
    return (
        f"{signed(test.difference)} ({100 * test.confidence:.3g} % interval {signed(test.low)} to "
        f"{signed(test.high)}, p {p_value(test.p)}; paired t over {test.groups} groups)"
    )


def _unproven(row: Row, measured: Outcome) -> Iterator[str]:
    if row.unproven:
        counted = ", so this counts as cannot tell" if measured is Outcome.BETTER else ""
        yield f"But it is unproven{counted}: {row.unproven}."


def _exact(measured: Outcome, test: PairedT, flip: float, family: int) -> Iterator[str]:
    """Says where the test that assumes nothing of the differences does not say the same."""
    if measured is not Outcome.CANNOT_TELL and flip >= ALPHA:
        possible = family * least_p(test.groups) < ALPHA
        why = "does not confirm it" if possible else "cannot confirm it with so few groups"
        yield f"The exact sign-flip test (p {p_value(flip)}) {why}."


def _outlook(measured: Outcome, test: PairedT, seen: float, family: int) -> Iterator[str]:
    """Says what would tell, where this study does not."""
    if measured is not Outcome.CANNOT_TELL:
        return
    if test.groups == 1:
        yield "How many more would tell is not known before there are two."
    elif test.more_groups is None:
        yield f"Not even {MOST_GROUPS} groups (animals) would tell a true difference like this."
    else:
        yield (
            f"If the true difference is like this, {test.more_groups} more groups (animals) "
            "would tell, with 80 % power."
        )
    if not math.isnan(seen) and family == 1:
        yield f"Here only a difference of {seen:.4f} or more had that chance."


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
