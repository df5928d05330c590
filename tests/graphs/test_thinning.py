"""Simple points, thinning that does not depend on how a volume is cut, and what is not known."""

import numpy as np
import pytest
from scipy import ndimage

from tests.graphs.shapes import vessels
from vpbsd.graphs.block import fill_holes, levels, skeletonise
from vpbsd.graphs.neighbours import OFFSETS, is_end, simple, subsets
from vpbsd.graphs.thinning import OPEN, PRESENT, Levels, Thinning

WHOLE = ((False, False),) * 3
CUT = ((True, True),) * 3
ALL = np.ones((3, 3, 3))


def by_labels(code):
    """Bertrand and Malandain's definition, by counting components."""
    vessel = np.array([code >> bit & 1 for bit in range(27)], bool).reshape(3, 3, 3)
    background = ~vessel & np.array([0 < sum(map(abs, o)) < 3 for o in OFFSETS]).reshape(3, 3, 3)
    label, _ = ndimage.label(background)
    faces = {
        int(label[1 + z, 1 + y, 1 + x]) for z, y, x in OFFSETS if abs(z) + abs(y) + abs(x) == 1
    }
    return ndimage.label(vessel, ALL)[1] == 1 and len(faces - {0}) == 1


def test_simple_points_are_those_of_the_definition():
    random = np.random.default_rng(0)
    few, half, many = (
        np.packbits(random.random((400, 32)) < share, axis=1).view(">u4")[:, 0]
        for share in (0.1, 0.4, 0.8)
    )
    codes = (np.concatenate([few, half, many]) & (2**27 - 1 - 2**13)).astype(np.int32)
    answers = simple(codes)
    assert answers.tolist() == [by_labels(int(code)) for code in codes]
    assert 100 < answers.sum() < 1000


def test_ends_and_subsets():
    assert is_end(np.array([0, 4, 5], np.int32)).tolist() == [False, True, False]
    assert sorted(subsets(np.array([0b1010], np.int32))[0].tolist()) == [0, 2, 8, 10]


def thinned(mask, cut=WHOLE, origin=(0, 0, 0), spacing=(3.0, 1.6, 1.6)):
    thinning = Thinning(levels(mask, spacing, cut)[1], origin, cut)
    thinning.run()
    return thinning.state[1:-1, 1:-1, 1:-1]


def euler(mask):
    """Vertices - edges + faces - cubes of the union of closed voxels: topology, but for kinds."""
    padded, total = np.pad(mask, 1), 0
    for axes in range(8):
        cells = padded
        for axis in range(3):
            if axes >> axis & 1:  # cells between two voxels: there if either is
                cells = np.maximum(
                    np.take(cells, range(cells.shape[axis] - 1), axis),
                    np.take(cells, range(1, cells.shape[axis]), axis),
                )
        total += (-1) ** (3 - axes.bit_count()) * int(cells.sum())
    return total


def test_thinning_keeps_the_topology():
    mask = vessels()
    lines = thinned(mask) == PRESENT
    assert ndimage.label(lines, ALL)[1] == ndimage.label(mask, ALL)[1] > 1
    assert euler(lines) == euler(mask) != ndimage.label(mask, ALL)[1], "loops are kept"
    assert lines.sum() < 0.1 * mask.sum()
    assert not (lines & ~mask).any()


def test_nothing_more_could_go():
    lines = thinned(vessels()) == PRESENT
    padded = np.pad(lines, 1)
    z, y, x = np.nonzero(padded)
    codes = sum(
        padded[z + o[0], y + o[1], x + o[2]].astype(np.int32) << bit
        for bit, o in enumerate(OFFSETS)
        if bit != 13
    )
    assert not (simple(codes) & ~is_end(codes)).any()


@pytest.mark.parametrize("origin", [(5, 9, 3), (12, 20, 33), (2, 31, 30)])
def test_what_is_not_open_in_a_block_is_that_of_the_whole(origin):
    mask = vessels()
    whole = thinned(mask)
    box = tuple(slice(a, a + n) for a, n in zip(origin, (24, 30, 36), strict=True))
    part, truth = thinned(mask[box].copy(), CUT, origin), whole[box]
    known = part != OPEN
    assert (part[known] == truth[known]).all()
    assert (part[known] == PRESENT).sum() > 5
    assert (part == OPEN).any(), "at the faces it cannot be known"


def test_what_is_open_could_turn_out_either_way():
    """A line that leaves a block goes on or ends there: its last voxels are not known."""
    mask = np.zeros((5, 5, 9), bool)
    mask[2, 2] = True
    state = thinned(mask, (*WHOLE[:2], (False, True)), spacing=(1.0, 1.0, 1.0))
    assert (state[2, 2, :7] == PRESENT).all()
    assert state[2, 2, 8] == OPEN


def test_levels_of_a_cut_block_come_earlier():
    mask = np.zeros((9, 9, 9), bool)
    mask[1:8] = True
    _, times = levels(mask, (2.0, 1.0, 1.0), ((False, False), (False, False), (True, False)))
    assert times.late[4, 4].tolist() == [8] * 9, "four voxels of 2 um to the background, in um"
    assert times.early[4, 4].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 8]
    mask = np.ones((5, 9, 9), bool)
    mask[4] = False
    _, times = levels(mask, (2.0, 1.0, 1.0), ((True, False), (False, False), (False, False)))
    assert times.late[:, 4, 4].tolist() == [8, 6, 4, 2, 0]
    assert times.early[:, 4, 4].tolist() == [2, 4, 4, 2, 0]


def test_holes_are_filled_up_to_a_size():
    mask = np.zeros((40, 40, 40), bool)
    mask[2:30, 2:38, 2:38] = True
    mask[5:21, 5:10, 5:10] = False  # 16 long
    mask[5:22, 20:25, 20:25] = False  # 17 long
    mask[25:30, 30, 30] = False  # open to one side
    filled = fill_holes(mask)
    assert filled[5:21, 5:10, 5:10].all()
    assert (filled != mask).sum() == 16 * 5 * 5


def test_a_block_knows_vessels_thicker_than_its_halo():
    mask = np.zeros((60, 150, 150), bool)
    z, y, x = np.indices(mask.shape)
    mask[np.hypot(z - 30, y - 75) <= 20] = True
    mask[:, :, 100:] |= np.hypot(z - 30, y - 75)[:, :, 100:] <= 26
    core = (slice(0, 60), slice(40, 110), slice(64, 96))
    found = skeletonise(lambda box: mask[box], mask.shape, (1.0, 1.0, 1.0), core)
    whole = thinned(mask, spacing=(1.0, 1.0, 1.0)) == PRESENT
    places = np.flatnonzero(whole)
    z, y, x = np.unravel_index(places, mask.shape)
    inside = (y >= 40) & (y < 110) & (x >= 64) & (x < 96)
    assert found.index.tolist() == places[inside].tolist()
    assert found.left_out == 0
    assert len(found.index) >= 32


def test_an_empty_mask_has_no_lines():
    nothing = Levels(np.zeros((4, 4, 4), np.int16), np.zeros((4, 4, 4), np.int16))
    thinning = Thinning(nothing, (0, 0, 0), CUT)
    thinning.run()
    assert not thinning.state[1:-1, 1:-1, 1:-1].any()
