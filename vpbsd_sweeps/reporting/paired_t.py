"""The paired t-test over groups: a p and an interval that cannot disagree, and what would tell.

Both come from one distribution: the interval excludes zero just where p is below one less its
confidence. It takes the groups' differences as normal, which few groups can neither show nor
refute; the exact tests of `significance` do not, and cannot speak below six groups.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

from scipy import stats
from scipy.optimize import brentq

from vpbsd_sweeps.reporting.significance import ALPHA, ROUNDING, Array, deviation

POWER = 0.8
MOST_GROUPS = 10_000


@dataclass(frozen=True)
class PairedT:
    """Groups' paired differences, tested against zero.

    Attributes:
        difference: Mean over groups, arm less baseline.
        low: Lower end of its t interval; minus infinity for one group.
        high: Its upper end.
        confidence: Of the interval, in (0, 1): 1 - 0.05 / family.
        p: Two-sided, Bonferroni-corrected: times the size of the family, at most 1.
        groups: How many groups it rests on.
        more_groups: How many more would show with 80 % power a true difference like the one seen,
            if groups spread as they do here; None where none was seen, for one group, and where
            more than 10 000 in all are wanted.
    """

    difference: float
    low: float
    high: float
    confidence: float
    p: float
    groups: int
    more_groups: int | None

    @property
    def tells(self) -> bool:
        """True where the interval excludes zero."""
        return self.low > 0 or self.high < 0


def paired_t(differences: Array, family: int = 1) -> PairedT:
    """Tests the mean of the groups' differences, (groups,), of one or more groups.

    Args:
        differences: Of each group, arm less baseline.
        family: Size of the family of tests that this one is the best of.
    """
    n, mean, level = len(differences), float(differences.mean()), ALPHA / family
    if n == 1:
        return PairedT(mean, -math.inf, math.inf, 1 - level, 1.0, n, None)
    sd = deviation(differences)
    if sd <= ROUNDING:  # all groups differ by the same
        mean = 0.0 if abs(mean) <= ROUNDING else mean
        return PairedT(mean, mean, mean, 1 - level, 0.0 if mean else 1.0, n, 0 if mean else None)
    test = stats.ttest_1samp(differences, 0.0)
    low, high = test.confidence_interval(1 - level)
    p = min(1.0, family * float(test.pvalue))
    needed = groups_needed(mean / sd, level, n)
    more = None if needed is None else max(0, needed - n)
    return PairedT(mean, float(low), float(high), 1 - level, p, n, more)


def groups_needed(effect: float, level: float = ALPHA, least: int = 2) -> int | None:
    """Returns how many groups give a two-sided paired t-test 80 % power; None beyond 10 000.

    Args:
        effect: True d_z, the mean of the groups' differences over their standard deviation.
        level: Of the test.
        least: Fewer than these are not considered.

    >>> groups_needed(0.5), groups_needed(0.8), groups_needed(0.0)
    (34, 15, None)
    """
    upper = max(2, least)
    while power(effect, upper, level) < POWER:
        upper *= 2
        if upper > 2 * MOST_GROUPS:
            return None
    needed = bisect_left(
        range(upper + 1), POWER, lo=max(2, least), key=lambda n: power(effect, n, level)
    )
    return needed if needed <= MOST_GROUPS else None


def detectable(differences: Array) -> float:
    """Returns the smallest true difference that this study had a fair chance to show.

    That is where a two-sided paired t-test at 5 % over so many groups, whose differences spread
    as the observed ones do, has 80 % power (one comparison, so before any correction). NaN for
    one group, and where groups do not spread.
    """
    n, sd = len(differences), deviation(differences)
    if n < 2 or sd <= ROUNDING:
        return math.nan
    most = 4 * float(stats.t.ppf(1 - ALPHA / 2, n - 1)) / math.sqrt(n)
    return float(brentq(lambda effect: power(effect, n) - POWER, 0.0, most)) * sd


def power(effect: float, groups: int, level: float = ALPHA) -> float:
    """Returns the chance that a two-sided paired t-test shows an effect (noncentral t)."""
    critical = float(stats.t.ppf(1 - level / 2, groups - 1))
    shift = abs(effect) * math.sqrt(groups)
    return float(stats.nct.sf(critical, groups - 1, shift))  # the far tail is below 1e-6
