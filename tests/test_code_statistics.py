"""What codes predict, by hand; nobody is given his own codes."""

import numpy as np
import pytest

from vpbsd.evaluation.code_statistics import dice, donors, held_out_r2, verdict


def r2(values, codes, units, kin=None):
    units = np.array(units, int)
    if kin is None:
        kin = np.eye(units.max(initial=0) + 1)
    return held_out_r2(np.array(values, float), np.array(codes), units, np.array(kin) > 0)


def test_r2_by_hand():
    """Mean .5, SS_tot .20; each by the other patch's and the mean: .45 .65 .35 .55, .5."""
    values, codes, patches = [0.2, 0.6, 0.4, 0.8, 0.5], [0, 1, 0, 1, 2], [0, 0, 1, 1, 2]
    left = 2 * 0.25**2 + 2 * 0.05**2
    assert r2(values, codes, patches) == pytest.approx(1 - left / 0.2)


def test_tokens_of_a_patch_do_not_predict_each_other():
    """Each patch has a code and a share of its own: it tells the patch, and nothing elsewhere."""
    values, codes = [0, 0, 1, 1], [3, 3, 4, 4]
    assert r2(values, codes, range(4)) == pytest.approx(1 - 4 * 0.25**2)
    assert r2(values, codes, [0, 0, 1, 1]) == 0
    others = 1 - 4 * (2.5 / 3) ** 2
    assert r2(values, [3, 3, 3, 3], [0, 0, 1, 1]) == pytest.approx(others)


def test_a_code_that_one_patch_has_alone_is_predicted_by_the_mean_of_all():
    assert r2([0, 1, 0, 1], [0, 1, 2, 3], [0, 1, 2, 3]) == 0


def test_codes_that_tell_everything_and_nothing_to_tell():
    """Seen n times elsewhere, a code's value is missed by 1 / (n + 1) of its way from the mean."""
    for n in (1, 9):
        found = r2([0.1, 0.9] * (n + 1), [0, 1] * (n + 1), np.repeat(range(n + 1), 2))
        assert found == pytest.approx(1 - 1 / (n + 1) ** 2)
    assert r2([0.3, 0.3], [0, 1], [0, 1]) == 0
    assert r2([], [], []) == 0


def test_patches_that_overlap_do_not_predict_each_other():
    """The first two show one place: they agree on a share that the third, apart, contradicts."""
    values, codes, patches = [0, 0, 1, 1], [5, 5, 5, 7], [0, 1, 2, 2]
    kin = [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    by_hand = 2 * 0.75**2 + (2.5 / 3) ** 2 + 0.5**2
    assert r2(values, codes, patches, kin) == pytest.approx(1 - by_hand)
    nothing_known = 2 * 0.5**2 + (2.5 / 3) ** 2 + 0.5**2
    assert r2(values, codes, patches) == pytest.approx(1 - nothing_known)


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_no_patch_keeps_its_own_codes(n):
    for i, others in enumerate(donors(np.eye(n) > 0, 3)):
        assert len(others) == len(set(others)) == min(3, n - 1)
        assert i not in others


def test_no_patch_is_given_the_codes_of_one_that_overlaps_with_it():
    """Of 0 1 and 2 3 in two volumes; of 0 1 2 in a row, where only the outer two are apart."""
    pairs = np.kron(np.eye(2), np.ones((2, 2))) > 0
    assert donors(pairs, 3) == [[2, 3], [2, 3], [0, 1], [0, 1]]
    assert donors(pairs, 1) == [[2], [2], [0], [0]]
    row = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]]) > 0
    assert donors(row, 3) == [[], [], []], "one of them has no donor"


def test_dice_of_two_empty_masks_is_one():
    assert [dice(0, (0, 0)), dice(0, (3, 0)), dice(2, (3, 5))] == [1, 0, 0.5]


GOOD = {"swapped_dice": 0.9, "r2_vessel_share": 0.3, "mse_codes": 0.01, "mse_cell_mean": 0.02}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, None),
        ({"swapped_dice": 0.95}, "codes do not change the mask (Dice 0.950 with another patch's)"),
        ({"swapped_dice": 0.9499}, None),
        ({"r2_vessel_share": 0.0}, "codes say nothing of vessels (R^2 0.00)"),
        ({"r2_vessel_share": 0.001}, None),
        (
            {"mse_codes": 0.02},
            "codes rebuild the image no better than its cells' means (MSE 0.0200 and 0.0200)",
        ),
        (
            {"swapped_dice": 1.0, "r2_vessel_share": -0.1},
            "codes do not change the mask (Dice 1.000 with another patch's), say nothing of "
            "vessels (R^2 -0.10)",
        ),
    ],
)
def test_verdicts_by_hand(change, says):
    assert verdict(GOOD | change) == says


def test_what_could_not_be_measured_fails_nothing():
    assert verdict({"r2_vessel_share": 0.1}) is None, "one patch, and no pre-training"
