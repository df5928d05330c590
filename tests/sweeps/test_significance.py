"""Statistics by hand, against scipy's own routines, and by what must hold for any numbers."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy import stats

from vpbsd_sweeps.reporting.paired_t import detectable
from vpbsd_sweeps.reporting.significance import (
    Scores,
    critical_difference,
    effect_size,
    group_differences,
    holm,
    least_p,
    mean_ranks,
    sign_flip,
    spreads,
    wilcoxon,
)

FLOATS = some.lists(some.integers(-50, 50).map(float), min_size=2, max_size=7)


def scores(*rows):
    """(value, fold, group, volume, seed) per row."""
    values, *names = zip(*rows, strict=True)
    return Scores(np.array(values, float), *(np.array(n, dtype=np.str_) for n in names))


TWO_FOLDS = scores(
    (0.2, 0, "a", "v", 0),
    (0.4, 0, "a", "v", 1),
    (0.6, 0, "a", "w", 0),
    (0.8, 0, "a", "w", 1),
    (0.9, 1, "b", "x", 0),
    (0.7, 1, "b", "x", 1),
)


def test_spreads_are_kept_apart_by_unit():
    """Volumes .3, .7, .8; groups .5, .8; folds .5, .8; seeds (.4, .9) -> .65, (.6, .7) -> .65."""
    got = spreads(TWO_FOLDS)
    assert (got.volumes.mean, got.volumes.n) == (pytest.approx(0.6), 3)
    assert got.volumes.sd == pytest.approx(math.sqrt((0.09 + 0.01 + 0.04) / 2))
    assert (got.groups.mean, got.groups.n) == (pytest.approx(0.65), 2)
    assert (got.folds.mean, got.folds.n) == (pytest.approx(0.65), 2)
    assert got.folds.sd == pytest.approx(0.3 / math.sqrt(2))
    assert (got.seeds.mean, got.seeds.n) == (pytest.approx(0.65), 2)
    assert got.seeds.sd == pytest.approx(0.0)


def test_one_unit_has_no_spread():
    got = spreads(scores((0.5, 0, "a", "v", 0)))
    assert math.isnan(got.folds.sd)


def test_differences_are_paired_by_volume_and_seed_and_averaged_up_to_groups():
    """Group a: volumes (+.1 seed 0, +.3 seed 1) and (+.4) -> (.2 + .4) / 2; b only in one arm."""
    arm = scores((0.3, 0, "a", "v", 0), (0.6, 0, "a", "v", 1), (0.9, 0, "a", "w", 0))
    base = scores(
        (0.2, 0, "a", "v", 0),
        (0.3, 0, "a", "v", 1),
        (0.5, 0, "a", "w", 0),
        (0.5, 1, "b", "x", 0),
    )
    assert group_differences(arm, base) == pytest.approx([0.3])


def test_an_arm_without_seeds_stands_against_every_seed():
    reference = scores((0.5, 0, "a", "v", 0))
    student = scores((0.4, 0, "a", "v", 0), (0.7, 0, "a", "v", 1))
    assert group_differences(student, reference) == pytest.approx([0.05])


def test_arms_without_a_common_volume_are_not_compared():
    arm, base = scores((1, 0, "a", "v", 0)), scores((1, 0, "a", "w", 0))
    assert group_differences(arm, base).size == 0


def test_three_gains_of_three_give_a_quarter():
    """All of one sign: 2 of the 8 sign patterns are as far from zero."""
    gains = np.array([1.0, 2.0, 3.0])
    assert sign_flip(gains) == wilcoxon(gains) == least_p(3) == 0.25


def test_sign_flip_counts_patterns_as_extreme():
    """Sum of (3, -1, 2) is 4; of the 8 sums 6, 4, 2, 0, 0, -2, -4, -6 four are that far out."""
    assert sign_flip(np.array([3.0, -1.0, 2.0])) == 0.5


def test_wilcoxon_is_exact_with_ties():
    """Ranks 2, 2, 2, 4 with W+ 8: 3 + 1 of 16 patterns reach 8, twice for two sides."""
    assert wilcoxon(np.array([1.0, 1.0, -1.0, 2.0])) == 0.5


def test_no_difference_at_all_is_no_evidence():
    assert sign_flip(np.zeros(4)) == wilcoxon(np.zeros(4)) == 1.0


@settings(deadline=None, max_examples=25)
@given(FLOATS)
def test_both_tests_count_every_pattern_of_signs(values):
    """Against plain counting, and scipy's exact table for ranks."""
    d = np.array(values)
    sums = [abs(np.dot(signs, d)) for signs in product((-1, 1), repeat=len(d))]
    assert sign_flip(d) == pytest.approx(np.mean([s >= abs(d.sum()) for s in sums]))
    moved = d[d != 0]
    if len(moved) and len(set(np.abs(moved))) == len(moved):  # its exact table knows no ties
        assert wilcoxon(d) == pytest.approx(stats.wilcoxon(moved, method="exact").pvalue)


@settings(deadline=None, max_examples=40)
@given(FLOATS)
def test_neither_side_nor_scale_changes_p_and_none_is_below_the_least(values):
    d = np.array(values)
    for test in (sign_flip, wilcoxon):
        assert test(d) == test(-d) == test(4 * d)
        assert least_p(len(d)) <= test(d) <= 1


def test_many_groups_are_sampled_the_same_every_time():
    d = np.random.default_rng(1).normal(0.3, 1, 20)
    assert sign_flip(d) == sign_flip(d)
    assert sign_flip(d) == pytest.approx(stats.ttest_1samp(d, 0).pvalue, abs=0.02)


def test_fourteen_groups_are_still_exact():
    assert sign_flip(np.arange(1.0, 15.0)) == least_p(14)


def test_holm_by_hand():
    """.005 x 4, .01 x 3, then .03 x 2 = .06 holds for .04 x 1 too."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_effect_size_is_mean_over_sd_of_the_differences():
    assert effect_size(np.array([1.0, 2.0, 3.0])) == 2.0
    assert math.isnan(effect_size(np.array([1.0])))
    assert math.isnan(effect_size(np.array([0.1 + 0.2, 0.3])))


def test_detectable_agrees_with_the_textbook():
    """A paired t-test needs 34 pairs for d_z = .5 at 5 % with 80 % power (33.4 in tables)."""
    pairs = np.random.default_rng(0).normal(size=34)
    pairs = (pairs - pairs.mean()) / pairs.std(ddof=1)
    assert 0.49 < detectable(pairs) < 0.5
    assert detectable(3 * pairs) == pytest.approx(3 * detectable(pairs))
    assert math.isnan(detectable(np.array([0.1])))


def test_ranks_share_ties_and_know_the_direction():
    table = np.array([[0.9, 0.5, 0.5], [0.1, 0.2, 0.3]])
    assert mean_ranks(table, higher_is_better=True).tolist() == [[1, 2.5, 2.5], [3, 2, 1]]
    assert mean_ranks(table, higher_is_better=False).tolist() == [[3, 1.5, 1.5], [1, 2, 3]]


def test_critical_difference_is_that_of_the_literature():
    """Demsar 2006: four classifiers on 14 data sets, 2.569 sqrt(4 x 5 / (6 x 14)) = 1.25."""
    assert critical_difference(4, 14) == pytest.approx(1.2535, abs=1e-3)
