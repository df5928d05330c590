"""The phantom: exact capsules, Murray's law, a calibrated camera, and a set as hard as it says."""

import hashlib
import inspect
import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from vpbsd.data import phantom as ph
from vpbsd.data.phantom_imaging import expose, render
from vpbsd.data.phantom_style import Style, animal
from vpbsd.data.phantom_vessels import Segments, grow, trace
from vpbsd.errors import BadInput

SMALL = (16, 40, 40)
GROUPS = ph.LABELLED_GROUPS + ph.UNLABELLED_GROUPS


def generator(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


@pytest.fixture(scope="module")
def default_set():
    """Image and label of every volume of the default set; the set itself hides eight labels."""
    default = {k: p.default for k, p in inspect.signature(ph.phantom_volumes).parameters.items()}
    kinds = [default["labelled_shape"]] * ph.LABELLED_GROUPS
    kinds += [default["unlabelled_shape"]] * ph.UNLABELLED_GROUPS
    return [ph.phantom_of_group(default["seed"], n, shape) for n, shape in enumerate(kinds)]


def best_threshold_dice(image, label):
    """Best Dice of "brighter than t" over all t: sort once, count hits above each grey value."""
    order = np.argsort(-image.ravel().astype(np.int64), kind="stable")
    grey, hits = image.ravel()[order], np.cumsum(label.ravel()[order], dtype=np.int64)
    last_of_its_grey = np.append(grey[1:] != grey[:-1], True)
    dice = 2 * hits / (np.arange(1, grey.size + 1) + hits[-1])
    return dice[last_of_its_grey].max()


def test_best_threshold_by_hand():
    # "> 3" marks two voxels, both vessel, of three: 2*2 / (2+3); "> 2" takes a tie of one each:
    # 2*3 / (4+3), the better one. Splitting the tie would give 2*3 / (3+3) = 1.
    image, label = np.array([9, 5, 2, 2, 1]), np.array([1, 1, 1, 0, 0])
    assert best_threshold_dice(image, label) == pytest.approx(6 / 7)


def test_default_volumes_are_as_described(default_set):
    shapes = [image.shape for image, _ in default_set]
    assert shapes == [(40, 96, 96)] * 6 + [(64, 96, 96)] * 8
    for image, label in default_set:
        assert image.dtype == np.uint16
        assert label.dtype == np.uint8
        assert set(np.unique(label)) == {0, 1}
        assert image.max() < 65535, "no voxel saturates"
        assert (image == 0).mean() < 0.002, "the dark is not cut off"


def test_vessels_fill_a_tenth_of_every_default_volume(default_set):
    shares = [label.mean() for _, label in default_set]
    assert min(shares) > 0.05
    assert max(shares) < 0.20
    assert np.mean(shares) == pytest.approx(0.095, abs=0.015)


@pytest.mark.parametrize("number", range(GROUPS))
def test_one_threshold_is_not_enough_nor_hopeless(default_set, number):
    assert 0.60 <= best_threshold_dice(*default_set[number]) <= 0.80


@pytest.mark.parametrize("number", range(GROUPS))
def test_vessels_hang_together(default_set, number):
    """The borders cut the network into few pieces: crumbs are rare."""
    pieces, _ = ndimage.label(default_set[number][1], np.ones((3, 3, 3)))
    sizes = np.sort(np.bincount(pieces.ravel())[1:])[::-1] / np.count_nonzero(pieces)
    assert sizes[0] > 0.5
    assert sizes[:3].sum() > 0.85


def test_the_set_has_six_labelled_and_eight_other_groups():
    volumes = list(ph.phantom_volumes(5, (8, 16, 16), (10, 16, 16)))
    assert [v.label is None for v in volumes] == [False] * 6 + [True] * 8
    assert len({v.group for v in volumes}) == len({v.name for v in volumes}) == 14
    for number, volume in enumerate(volumes):
        image, label = ph.phantom_of_group(5, number, volume.image.shape)
        np.testing.assert_array_equal(volume.image, image)
        if volume.label is not None:
            np.testing.assert_array_equal(volume.label, label)


def test_every_two_animals_differ_in_every_drawn_property():
    styles = [animal(generator(n)) for n in range(GROUPS)]
    same = set(Style.__dataclass_fields__) - {"bed", "trees", "capillary_um", "attenuation"}
    for a, b in itertools.combinations(styles, 2):
        assert all(getattr(a, name) != getattr(b, name) for name in same)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    image, label = ph.phantom(3, SMALL)
    np.random.seed(1)  # noqa: NPY002 (the global stream must not matter)
    again = ph.phantom(3, SMALL)
    np.testing.assert_array_equal(image, again[0])
    np.testing.assert_array_equal(label, again[1])
    other = ph.phantom(4, SMALL)
    assert (image != other[0]).mean() > 0.9
    assert (label != other[1]).mean() > 0.05


def test_not_a_bit_of_the_plain_phantom_has_moved():
    """Stored stages and published tables rest on it; `NUMERICS` is raised where it must move."""
    seen = hashlib.sha256()
    for number in range(8):
        image, label = ph.phantom_of_group(ph.DEFAULT_SEED, number, SMALL)
        seen.update(image.tobytes() + label.tobytes())
    assert (ph.NUMERICS, seen.hexdigest()) == (
        2,
        "8425b25c5c06234352f68353a589745ac6dc62882bfa2541fd2dce9f4088a3a2",
    )


def test_another_microscope_shows_the_same_vessels():
    image, label = ph.phantom(3, SMALL)
    other_image, other_label = ph.phantom(3, SMALL, Style(blur_um=3.0, read_noise=5.0))
    np.testing.assert_array_equal(label, other_label)
    assert label.any()
    assert (image != other_image).any()


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**63 - 1))
def test_any_seed_fills_a_sensible_share(seed):
    assert 0.03 < ph.phantom(seed, (24, 48, 48))[1].mean() < 0.16


def test_too_small_a_volume_is_refused():
    with pytest.raises(BadInput, match=r"\(7, 96, 96\).*at least 8"):
        ph.phantom(0, (7, 96, 96))


def capsule(radius=(3.3, 3.3), lumen=1.0):
    """A vessel along z from 6 to 15 um through the voxel centres of row 8, column 8."""
    axis = 8 * 1.625
    ends = np.array([[[6.0, axis, axis], [15.0, axis, axis]]])
    return Segments(ends, np.array([radius]), np.array([[1.0, 2.0]]), np.array([lumen]))


def test_capsule_by_hand():
    # Radius 3.3 um = 2.03 voxels in plane: a disc of 13 in the slices at 6, 9, 12 and 15 um. 3 um
    # beyond either end sqrt(3.3^2 - 3^2) = 1.37 um are left, less than a voxel: only the axis.
    glow = render(capsule(), (12, 17, 17))
    assert (glow > 0).sum((1, 2)).tolist() == [0, 1, 13, 13, 13, 13, 1, 0, 0, 0, 0, 0]
    # brightness runs from 1 at 6 um to 2 at 15 um, and stays beyond the ends
    np.testing.assert_allclose(glow[1:7, 8, 8], [1, 1, 4 / 3, 5 / 3, 2, 2])


def test_tapering_capsule_by_hand():
    # Radii 3.3, 2.77, 2.23, 1.7 um hold discs of 13 (2 voxels = 3.25), 9 (a diagonal = 2.30), 5
    # (one voxel = 1.625) and 5; 3 um beyond the thin end 1.7 um do not reach.
    glow = render(capsule(radius=(3.3, 1.7)), (12, 17, 17))
    assert (glow > 0).sum((1, 2)).tolist() == [0, 1, 13, 9, 5, 5, 0, 0, 0, 0, 0, 0]


def test_hollow_vessel_by_hand():
    # lumen within sqrt(.4) * 3.3 = 2.09 um: the axis and its next voxels (1.625), no diagonal
    glow = render(capsule(lumen=0.25), (12, 17, 17))[2]
    assert glow[8, 8] == glow[8, 9] == 0.25
    assert glow[9, 9] == glow[8, 10] == 1.0


def test_vessels_may_leave_the_volume():
    inside = render(capsule(), (12, 17, 17))
    np.testing.assert_array_equal(render(capsule(), (4, 9, 17)), inside[:4, :9])
    vessel = capsule()
    moved = vessel._replace(ends=vessel.ends - np.multiply((3, 8, 7), ph.SPACING_UM))
    np.testing.assert_allclose(render(moved, (9, 9, 10)), inside[3:, 8:, 7:])


def test_radii_obey_murray():
    """Cube of a radius = own supply + cubes of the radii it branches into."""
    network = grow(generator(), (40, 96, 96), Style(bed=1.0, trunk=100.0))
    for node in range(len(network.nodes)):
        children = np.flatnonzero(network.parent == node)
        assert network.radius[node] ** 3 == pytest.approx(
            1 + (network.radius[children] ** 3).sum()
        )


def test_radii_lie_between_capillary_and_trunk():
    radius = grow(generator(), (40, 96, 96), Style(trunk=1.5)).radius
    assert radius.min() == 1.0
    assert radius.max() == 1.5


def test_every_branch_point_is_fed_by_its_root_and_loops_are_extra():
    network = grow(generator(), (40, 96, 96), Style())
    for node in range(len(network.nodes)):
        at = node
        for _ in range(len(network.nodes)):
            at = network.parent[at] if network.parent[at] >= 0 else at
        assert network.parent[at] < 0
        assert network.tree[at] == network.tree[node]
    fed = {frozenset((c, p)) for c, p in enumerate(network.parent.tolist()) if p >= 0}
    loops = {frozenset(pair) for pair in network.loops.tolist()}
    assert loops
    assert not fed & loops


def test_pieces_of_a_vessel_touch():
    network = grow(generator(), SMALL, Style())
    ends = trace(generator(), network, Style()).ends.reshape(-1, 8, 2, 3)
    np.testing.assert_array_equal(ends[:, 1:, 0], ends[:, :-1, 1])
    nodes = {tuple(node) for node in network.nodes.round(6)}
    assert {tuple(end) for end in ends[:, [0, -1], [0, 1]].reshape(-1, 3).round(6)} <= nodes


PLAIN = Style(texture=0, cells=0, shading=0, stripes=0, staining=0, read_noise=0, tissue=50)


def test_camera_counts_photons():
    # Poisson light of mean 50: 600 + 4 * 50 grey values with variance 4^2 * 50; the camera's own
    # noise of 10 photons adds 4^2 * 100.
    dark = np.zeros((20, 64, 64))
    image = expose(generator(), dark, PLAIN).astype(float)
    assert image.mean() == pytest.approx(800, rel=0.005)
    assert image.var() == pytest.approx(800, rel=0.03)
    noisy = expose(generator(), dark, replace(PLAIN, read_noise=10.0)).astype(float)
    assert noisy.var() == pytest.approx(2400, rel=0.03)


def test_a_wide_vessel_shows_its_signal_and_haze():
    # all vessel: blur changes nothing, so light = tissue + signal + haze * signal = 50 + 200 + 50
    style = replace(PLAIN, signal=200.0, haze=0.25)
    image = expose(generator(), np.ones((20, 32, 32)), style)
    assert image.mean() == pytest.approx(600 + 4 * 300, rel=0.005)


def test_light_falls_exponentially_with_depth():
    # exp(-1.2 z / 20) of 50 photons in slice z: 50, then 50 e^-.6 = 27.4 halfway down
    image = expose(generator(), np.zeros((20, 64, 64)), replace(PLAIN, attenuation=1.2))
    photons = (image.astype(float) - 600).mean((1, 2)) / 4
    assert photons[0] == pytest.approx(50, rel=0.01)
    assert photons[10] == pytest.approx(27.4, rel=0.01)


def test_stripes_run_along_the_light_sheet():
    style = replace(PLAIN, tissue=5000, stripes=0.2)
    light = expose(generator(), np.zeros((20, 64, 64)), style).astype(float)
    along, across = (np.abs(np.diff(light, axis=axis)).mean() for axis in (2, 1))
    assert across > 2 * along
