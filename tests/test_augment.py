"""Turns: one group for images, labels and grids of features; nothing else is ever done."""

from itertools import product

import numpy as np
import pytest
import torch

from vpbsd.data.augment import random_turns, stacked, turned, turned_view
from vpbsd.data.turns import STILL, Turn

FLIPS = ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2))
EVERY = [Turn(flips, quarters) for flips, quarters in product(FLIPS, range(4))]


def coordinates(shape):
    """A volume of which every voxel holds its own number."""
    return torch.arange(torch.Size(shape).numel()).reshape(shape)


def test_turns_by_hand():
    x = torch.tensor([[[1, 2], [3, 4]], [[5, 6], [7, 8]]])
    assert turned(x, STILL) is x
    assert turned(x, Turn((0,), 0)).tolist() == [[[5, 6], [7, 8]], [[1, 2], [3, 4]]]
    assert turned(x, Turn((1,), 0)).tolist() == [[[3, 4], [1, 2]], [[7, 8], [5, 6]]]
    assert turned(x, Turn((2,), 0)).tolist() == [[[2, 1], [4, 3]], [[6, 5], [8, 7]]]
    assert turned(x, Turn((), 1)).tolist() == [[[2, 4], [1, 3]], [[6, 8], [5, 7]]]
    assert turned(x, Turn((), 2)).tolist() == [[[4, 3], [2, 1]], [[8, 7], [6, 5]]]
    assert turned(x, Turn((2,), 1)).tolist() == [[[1, 3], [2, 4]], [[5, 7], [6, 8]]]


def test_leading_axes_stay():
    x = torch.rand(2, 3, 2, 4, 4)
    for turn in EVERY:
        one_by_one = [[turned(x[b, c], turn) for c in range(3)] for b in range(2)]
        assert torch.equal(turned(x, turn), torch.stack([torch.stack(row) for row in one_by_one]))


def seen(turns, shape=(2, 4, 4)):
    x = coordinates(shape)
    return {tuple(turned(x, turn).flatten().tolist()) for turn in turns}


def test_draws_cover_the_whole_group_of_sixteen_evenly():
    turns = [t for step in range(400) for t in random_turns(0, "a", step, 2, square=True)]
    assert seen(turns) == seen(EVERY)
    assert len(seen(turns)) == 16
    assert {turn: turns.count(turn) > 5 for turn in EVERY} == dict.fromkeys(EVERY, True)


def test_every_turn_can_be_undone():
    x = coordinates((2, 4, 4))
    for turn in EVERY:
        assert any(torch.equal(turned(turned(x, turn), back), x) for back in EVERY)


def test_patches_that_are_not_square_keep_their_shape():
    turns = [t for step in range(100) for t in random_turns(0, "a", step, 2, square=False)]
    assert {turn.quarters for turn in turns} == {0, 2}
    assert all(turned(coordinates((2, 3, 5)), turn).shape == (2, 3, 5) for turn in turns)
    assert len(seen(turns, (2, 3, 5))) == 8


@pytest.mark.parametrize("turn", EVERY)
def test_a_turned_grid_is_the_grid_of_the_turned_patch(turn):
    """Each voxel holds the number of the token it belongs to, tokens of 2 x 4 x 4 voxels."""
    grid = coordinates((3, 2, 2))
    patch = grid
    for axis, times in enumerate((2, 4, 4)):
        patch = patch.repeat_interleave(times, axis)
    assert torch.equal(turned(patch, turn)[::2, ::4, ::4], turned(grid, turn))


def test_draws_are_counted_not_remembered():
    def draw(seed=0, purpose="a", step=3, count=4):
        return random_turns(seed, purpose, step, count, square=True)

    assert draw() == draw()
    others = [draw(seed=1), draw(purpose="b"), draw(step=4)]
    assert all(other != draw() for other in others)
    assert draw(count=2) == draw()[:2]


@pytest.mark.parametrize("turn", [Turn((), 1), Turn((2,), 0), Turn((0,), 3)])
def test_turned_views_are_stacked_in_the_usual_order_of_memory(turn):
    """Sums in a network differ by a bit where the order of memory does."""
    x = np.arange(2 * 4 * 4 * 4, dtype=np.float32).reshape(2, 4, 4, 4)
    together = stacked([turned_view(x, turn)] * 2)
    assert together.flags.c_contiguous
    assert torch.equal(torch.from_numpy(together[0]), turned(torch.from_numpy(x), turn))
