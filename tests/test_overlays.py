"""Pictures of a segmentation against its label: colours, planes, scale, and many arms in a row."""

from collections import Counter

import numpy as np
import pytest

from vpbsd.evaluation.overlays import (
    DEEPEST,
    Scene,
    display_range,
    overlay,
    projections,
    side_by_side,
    strip,
)
from vpbsd.evaluation.pictures import BOTH, FALSE, MISSED, SAFE, drawn

NAMES = dict(zip(("correct", "missed", "false"), SAFE, strict=True))


def colours(picture):
    """How many pixels have exactly the colour of each verdict, painted on black."""
    flat = Counter(map(tuple, picture.reshape(-1, 3).tolist()))
    return {name: flat[painted(colour)] for name, colour in NAMES.items()}


def painted(colour):
    return tuple(int(0.75 * c * 255) for c in colour)


def scene(truth, prediction, **more):
    return Scene(np.zeros(truth.shape, np.float32), truth, prediction, **more)


def test_overlays_have_colours_that_everyone_can_tell_apart():
    """Of 8 columns 4 are found, 2 missed, 1 is false, 1 empty: all three differ from each other.

    Two planes show them all, the third a found one; errors have a panel of their own beside.
    """
    truth, prediction = np.zeros((2, 8, 8, 8), bool)
    truth[..., :6], prediction[..., :4], prediction[..., 6] = True, True, True
    found = colours(overlay(scene(truth, prediction), "title"))
    assert found["false"] > 1000
    assert found["missed"] == pytest.approx(2 * found["false"], rel=0.1), "2 planes x 2 panels"
    assert found["correct"] == pytest.approx(4 * found["false"], rel=0.1), "2 planes and the third"


def test_errors_stand_alone_beside_the_verdict():
    """Half of two planes is missed, in two panels each; three planes hold two planes' correct."""
    truth = np.ones((8, 8, 8), bool)
    found = truth.copy()
    found[..., 4:] = False
    flat = Counter(map(tuple, overlay(scene(truth, found), "t").reshape(-1, 3).tolist()))
    correct, missed, false = (flat[painted(colour)] for colour in SAFE)
    assert missed == pytest.approx(correct, rel=0.1)
    assert flat[painted(BOTH)] == pytest.approx(correct, rel=0.1)
    assert false == 0


def test_an_overlay_cuts_where_the_label_has_most_vessel():
    """Wherever the network sees vessels: else two arms would show different planes."""
    truth, elsewhere = np.zeros((2, 8, 8, 8), bool)
    truth[5, :, 2] = True
    elsewhere[0] = True
    one, other = (overlay(scene(truth, found), "t") for found in (truth, truth | elsewhere))
    assert colours(one)["correct"] == colours(other)["correct"] > 1000
    assert colours(overlay(scene(truth & False, truth & False), "t"))["correct"] == 0


def test_a_ray_has_the_colour_of_most_of_its_vessel_and_of_the_error_where_even():
    """Columns of two voxels of vessel: both found, half of them found, none found, both false."""
    truth, prediction = np.zeros((2, 2, 40, 80), bool)
    truth[:, :, :60], prediction[:, :, :20], prediction[0, :, 20:40] = True, True, True
    prediction[:, :, 60:] = True
    found = colours(projections(scene(truth, prediction), "t"))
    assert found["missed"] > 1000
    assert found["missed"] == pytest.approx(4 * found["correct"], rel=0.1), "in two panels"
    assert found["false"] == pytest.approx(2 * found["correct"], rel=0.1), "in two panels"


def test_a_slab_is_no_deeper_than_vessels_can_be_told_apart_in():
    """Vessel in the last plane alone is not seen through a slab about the first planes."""
    truth = np.zeros((3 * DEEPEST, 16, 16), bool)
    truth[:DEEPEST, :8] = True
    far = truth.copy()
    far[-1, 8:] = True
    near, deep = (strip(scene(mask, mask)) for mask in (truth, far))
    np.testing.assert_array_equal(near, deep)


def test_pixels_have_the_aspect_of_voxels_and_a_bar_tells_the_length():
    """Voxels three times as high as wide make a picture three times as high."""
    mask = np.ones((4, 16, 16), bool)
    flat, high = (strip(scene(mask, mask, spacing_um=(1.0, y, 1.0))) for y in (1.0, 3.0))
    assert high.shape[0] == pytest.approx(3 * flat.shape[0], abs=2)
    assert high.shape[1] == flat.shape[1]
    image, label, _ = np.split(flat, 3, axis=1)
    assert (image == 255).all(-1).any(), "a bar and its length"
    assert (label == 255).all()


def test_the_range_of_greys_is_that_of_tissue_not_of_emptiness():
    """A small bright block of texture in a large dark void: the void would take all greys."""
    rng = np.random.default_rng(0)
    raw = np.zeros((64, 64, 64), np.uint16)
    raw[16:48, 16:48, 16:48] = rng.normal(1000, 100, (32, 32, 32)) + 500 * (
        np.indices((32, 32, 32)).sum(0) // 8 % 2
    )
    low, high = display_range(raw, np.zeros(raw.shape, bool))
    assert low > 600
    assert 1500 < high < 2000


def test_arms_side_by_side_show_where_one_is_right_and_the_other_wrong():
    """The baseline misses half, VpbSD nothing: half of the difference is VpbSD's colour."""
    truth = np.ones((4, 32, 32), bool)
    half = truth.copy()
    half[..., 16:] = False
    strips = {"baseline": strip(scene(truth, half)), "VpbSD": strip(scene(truth, truth))}
    picture = drawn(side_by_side(strips, "a volume"))
    flat = Counter(map(tuple, picture.reshape(-1, 3).tolist()))
    gained, missed, correct = (flat[painted(c)] for c in (FALSE, MISSED, SAFE[0]))
    assert gained == pytest.approx(missed, rel=0.1)
    assert correct == pytest.approx(3 * missed, rel=0.15), "half of one arm and all of the other"
