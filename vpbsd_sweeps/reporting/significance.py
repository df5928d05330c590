"""What a table may claim: spreads by their unit, paired differences, and what n groups can show.

Pure functions over plain arrays. The independent unit is the group (animal, acquisition): seeds
are averaged within a volume, then volumes within a group, and only groups are counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]
Names = NDArray[np.str_]
Tree = list[list[Array]]
"""Groups, of which each has volumes, of which each has one number per seed."""

ALPHA = 0.05
ROUNDING = 1e-12  # a spread below this is that of floating point
MOST_EXACT = 14  # groups whose 2^n signs are all tried


@dataclass(frozen=True)
class Scores:
    """One metric of one arm, a row per measured volume; five arrays of one length.

    A volume that is cut over folds (folds in space) counts as one volume per fold.
    """

    values: Array
    folds: Names
    groups: Names
    volumes: Names
    seeds: Names


@dataclass(frozen=True)
class Spread:
    """Mean over some units, standard deviation between them (ddof 1), and how many they are.

    >>> print(Spread(0.8461, 0.0189, 3), Spread(0.5, math.nan, 1), sep=", ")
    0.846 ± 0.019, 0.500
    """

    mean: float
    sd: float
    n: int

    def __str__(self) -> str:
        """Writes three digits, as tables show it; no deviation where there is one unit."""
        deviation = "" if math.isnan(self.sd) else f" ± {self.sd:.3f}"
        return f"{self.mean:.3f}{deviation}"


@dataclass(frozen=True)
class Spreads:
    """The same scores by four units, kept apart: they answer different questions."""

    folds: Spread
    volumes: Spread
    groups: Spread
    seeds: Spread


def spreads(scores: Scores) -> Spreads:
    """Averages scores over folds, volumes, groups and seeds.

    A fold is the mean over its seeds of the mean over its volumes, as published tables have it; a
    volume is its mean over seeds; a group that of its volumes; a seed the mean over folds.
    """
    per_fold, per_seed = (
        [
            _mean_by(scores.values[mine], inner[mine])
            for mine in (outer == name for name in np.unique(outer))
        ]
        for outer, inner in ((scores.folds, scores.seeds), (scores.seeds, scores.folds))
    )
    per_volume = [seeds.mean() for group in _tree(scores) for seeds in group]
    per_group = [np.mean([seeds.mean() for seeds in group]) for group in _tree(scores)]
    return Spreads(*(_spread(v) for v in (per_fold, per_volume, per_group, per_seed)))


def group_means(tree: Tree) -> Array:
    """Averages seeds within volumes, then volumes within groups: (groups,)."""
    return np.array([np.mean([seeds.mean() for seeds in group]) for group in tree])


def group_scores(scores: Scores) -> dict[str, float]:
    """Maps each group to its mean."""
    names = [str(name) for name in np.unique(scores.groups)]
    return dict(zip(names, group_means(_tree(scores)).tolist(), strict=True))


def group_differences(arm: Scores, baseline: Scores) -> Array:
    """Averages the paired differences of each group that both arms have: (groups,)."""
    return group_means(_differences(arm, baseline))


def sign_flip(differences: Array, seed: int = 0) -> float:
    """Returns the two-sided p that the signs of the groups' differences are those of chance.

    Exact over all 2^n signs up to 14 groups; beyond that over so many drawn from the seed.
    """
    if len(differences) == 1:  # scipy refuses it; either sign is as far from zero
        return 1.0
    test = stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**MOST_EXACT,
        rng=seed,
    )
    return float(test.pvalue)


def wilcoxon(differences: Array, seed: int = 0) -> float:
    """Returns the two-sided signed-rank p: a sign-flip test of the ranks, so exact with ties too.

    (scipy's own exact `wilcoxon` counts as if there were none.) Groups without a difference are
    left out, as Wilcoxon did.
    """
    moved = differences[differences != 0]
    return sign_flip(np.sign(moved) * stats.rankdata(np.abs(moved)), seed) if moved.size else 1.0


def least_p(groups: int) -> float:
    """Returns the smallest two-sided p that n groups can give: all differences of one sign."""
    return min(1.0, 2.0 ** (1 - groups))


def holm(p: Sequence[float]) -> list[float]:
    """Corrects p-values by Holm's step-down rule, in the order given."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    corrected, largest = [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = largest
    return corrected


def effect_size(differences: Array) -> float:
    """Returns Cohen's d_z of paired samples; NaN where groups do not differ or there is one."""
    sd = deviation(differences)
    return float(differences.mean() / sd) if sd > ROUNDING else math.nan


def deviation(values: Array) -> float:
    """Returns the standard deviation (ddof 1); NaN for one value."""
    return float(values.std(ddof=1)) if len(values) > 1 else math.nan


def mean_ranks(table: Array, *, higher_is_better: bool) -> Array:
    """Ranks the arms of (groups, arms) within each group: 1 the best, ties shared."""
    return np.asarray(stats.rankdata(-table if higher_is_better else table, axis=1), np.float64)


def critical_difference(arms: int, groups: int) -> float:
    """Returns Nemenyi's: mean ranks nearer than this are not told apart at 5 %."""
    q = float(stats.studentized_range.ppf(1 - ALPHA, arms, np.inf)) / math.sqrt(2)
    return q * math.sqrt(arms * (arms + 1) / (6 * groups))


def _tree(scores: Scores) -> Tree:
    return [
        [
            scores.values[(scores.groups == group) & (scores.volumes == volume)]
            for volume in np.unique(scores.volumes[scores.groups == group])
        ]
        for group in np.unique(scores.groups)
    ]


def _differences(arm: Scores, baseline: Scores) -> Tree:
    """Takes the baseline from the arm: by group, volume and seed."""
    ours, theirs = _by_volume(arm), _by_volume(baseline)
    tree: dict[str, list[Array]] = {}
    for group, volume in sorted(ours.keys() & theirs.keys()):
        gaps = _gaps(ours[group, volume], theirs[group, volume])
        if gaps:
            tree.setdefault(group, []).append(np.array(gaps))
    return list(tree.values())


def _gaps(ours: dict[str, float], theirs: dict[str, float]) -> list[float]:
    """Pairs by common seed; the one value of an arm without seeds stands against every seed."""
    if len(ours) == 1 or len(theirs) == 1:
        return [a - b for a in ours.values() for b in theirs.values()]
    return [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]


def _by_volume(scores: Scores) -> dict[tuple[str, str], dict[str, float]]:
    found: dict[tuple[str, str], dict[str, float]] = {}
    columns = (scores.groups, scores.volumes, scores.seeds, scores.values)
    for group, volume, seed, value in zip(*(c.tolist() for c in columns), strict=True):
        found.setdefault((group, volume), {})[seed] = value
    return found


def _mean_by(values: Array, names: Names) -> float:
    return float(np.mean([values[names == name].mean() for name in np.unique(names)]))


def _spread(units: Sequence[float] | Sequence[np.floating] | Array) -> Spread:
    values = np.asarray(units, np.float64)
    return Spread(float(values.mean()), deviation(values), len(values))
