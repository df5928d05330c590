"""Arms against the baseline, and the one rule of which comparisons are corrected together.

The primary comparison is a family of its own: VpbSD, else the best student, in the primary metric.
All others of students are secondary: Holm among themselves. References are in no family: their
p-values stand alone, and they bear no stars.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from vpbsd.pipeline.recipes import is_reference
from vpbsd_sweeps.reporting.columns import sign
from vpbsd_sweeps.reporting.paired_t import PairedT, detectable, paired_t
from vpbsd_sweeps.reporting.rows import Row, differences
from vpbsd_sweeps.reporting.significance import (
    ALPHA,
    Array,
    effect_size,
    holm,
    least_p,
    sign_flip,
    wilcoxon,
)


@dataclass(frozen=True)
class Comparison:
    """An arm against the baseline in one metric, paired by volume and seed.

    Attributes:
        test: Paired t-test over groups, before any correction, with its 95 % interval.
        p_flip: Exact two-sided sign-flip test on the groups' differences.
        p_wilcoxon: Exact two-sided Wilcoxon signed-rank test on the same.
        p_least: The smallest p that either exact test could give with so many groups.
        effect: Cohen's d_z, the groups' mean difference over its standard deviation.
        detectable: See `paired_t.detectable`.
        family: "primary", "secondary" or "" (a reference).
        p: Of the t-test, corrected within the family; NaN of a reference.
    """

    arm: str
    metric: str
    test: PairedT
    p_flip: float = 1.0
    p_wilcoxon: float = 1.0
    p_least: float = 1.0
    effect: float = math.nan
    detectable: float = math.nan
    family: str = ""
    p: float = math.nan

    @property
    def mark(self) -> str:
        """Significance after correction."""
        return "**" if self.p < 0.01 else "*" if self.p < ALPHA else ""

    @property
    def gains(self) -> bool:
        """True where the arm is better than the baseline by more than noise."""
        return sign(self.metric) * self.test.difference > 0 and self.p < ALPHA


def compare(row: Row, other: Row, metric: str) -> Comparison | None:
    """Pairs two arms on the volumes that both have; None if there is none."""
    found: Array = differences(row, other, metric)
    if not found.size:
        return None
    return Comparison(
        arm=row.arm,
        metric=metric,
        test=paired_t(found),
        p_flip=sign_flip(found),
        p_wilcoxon=wilcoxon(found),
        p_least=least_p(len(found)),
        effect=effect_size(found),
        detectable=detectable(found),
    )


def in_families(
    comparisons: Iterable[Comparison], primary: tuple[str, str] | None, picked_from: int
) -> list[Comparison]:
    """Corrects p-values within their families.

    Args:
        comparisons: All of a study.
        primary: Arm and metric of the primary one; None where there is none.
        picked_from: How many arms that one was picked from; 1 where it was not picked.
    """
    every = list(comparisons)
    secondary = [c for c in every if not is_reference(c.arm) and (c.arm, c.metric) != primary]
    corrected = dict(zip(map(_place, secondary), holm([c.test.p for c in secondary]), strict=True))
    return [
        replace(c, family="primary", p=min(1.0, picked_from * c.test.p))
        if _place(c) == primary
        else replace(c, family="secondary", p=corrected[_place(c)])
        if _place(c) in corrected
        else c
        for c in every
    ]


def _place(comparison: Comparison) -> tuple[str, str]:
    return comparison.arm, comparison.metric
