"""Two views of a region: the map is tracked the same way by voxels and by patches."""

import math

import pytest
import torch

from vpbsd.data.affine import SHIFT, Affine, random_affines, same_places, warped

GRID, CELL = (2, 3, 4), 4
SIDES = tuple(n * CELL for n in GRID)


def affine(matrix=None, offset=(0.0, 0.0, 0.0)):
    matrix = torch.eye(3) if matrix is None else matrix
    return Affine(matrix[None], torch.tensor([offset]))


def places(found):
    """Row -> column of each match, as cells."""
    cells = [(z, y, x) for z in range(GRID[0]) for y in range(GRID[1]) for x in range(GRID[2])]
    return {cells[i]: cells[j] for i, j in found[0].nonzero().tolist()}


def test_the_identity_matches_every_patch_with_itself():
    found = same_places(affine(), GRID, CELL)
    assert torch.equal(found[0], torch.eye(24, dtype=torch.bool))


def test_a_shift_by_a_patch_shifts_the_matches_and_leaves_the_border_empty():
    """The second view shows at x what the first shows at x + 4: patches move one place down."""
    found = places(same_places(affine(offset=(0.0, 0.0, float(CELL))), GRID, CELL))
    assert found == {
        (z, y, x): (z, y, x - 1) for z in range(2) for y in range(3) for x in (1, 2, 3)
    }


def few_voxels(count, stream):
    """Maps as they are drawn, but for shifts of 3 voxels at most: the grid here is small."""
    drawn = random_affines(count, SIDES, stream)
    middle = torch.tensor([[side / 2 for side in SIDES]])
    shift = drawn.back(middle)[:, 0] - middle
    return drawn._replace(offset=drawn.offset + shift * (3 / SHIFT - 1))


@pytest.mark.parametrize("seed", range(5))
def test_no_patch_has_two_matches(seed):
    stream = torch.Generator().manual_seed(seed)
    found = same_places(few_voxels(3, stream), GRID, CELL)
    assert found.any()
    assert found.sum(1).max() <= 1
    assert found.sum(2).max() <= 1


@pytest.mark.parametrize("seed", range(3))
def test_matches_are_those_of_the_formula(seed):
    """S2 eq. 2-3 patch by patch: both centres, moved, lie in the other's box."""
    stream = torch.Generator().manual_seed(seed)
    moved = few_voxels(1, stream)
    matrix, offset = moved.matrix[0].double(), moved.offset[0].double()
    inverse, half = torch.linalg.inv(matrix), CELL / 2
    centres = [
        torch.tensor([z, y, x], dtype=torch.float64) * CELL + half
        for z in range(GRID[0])
        for y in range(GRID[1])
        for x in range(GRID[2])
    ]
    found = same_places(moved, GRID, CELL)[0]
    for i, here in enumerate(centres):
        for j, there in enumerate(centres):
            forth = (inverse @ (here - offset) - there).abs().max() < half
            back = (matrix @ there + offset - here).abs().max() < half
            assert found[i, j] == (forth and back)


def test_voxels_move_as_the_patches_do():
    """A bright patch of the first view is bright where its match lies in the second."""
    stream = torch.Generator().manual_seed(1)
    moved = few_voxels(1, stream)
    found = places(same_places(moved, GRID, CELL))
    assert len(found) > 5
    for here, there in found.items():
        image = torch.zeros(1, 1, *SIDES)
        box = [slice(CELL * n, CELL * (n + 1)) for n in here]
        image[0, 0, box[0], box[1], box[2]] = 1
        seen = warped(image, moved, mirrored=False)
        share = torch.nn.functional.avg_pool3d(seen, CELL)[0, 0]
        assert share[there] == share.max()


def test_a_shift_moves_voxels_exactly():
    image = torch.rand(1, 1, 2, 3, 6)
    seen = warped(image, affine(offset=(0.0, 1.0, 2.0)), mirrored=False)
    assert torch.allclose(seen[0, 0, :, :2, :4], image[0, 0, :, 1:, 2:], atol=1e-6)
    assert not seen[0, 0, :, 2].any()
    assert not seen[0, 0, :, :, 4:].any()
    mirrored = warped(image, affine(offset=(0.0, 0.0, 2.0)), mirrored=True)
    assert torch.allclose(mirrored[0, 0, :, :, 4], image[0, 0, :, :, 5], atol=1e-6)
    assert torch.allclose(mirrored[0, 0, :, :, 5], image[0, 0, :, :, 4], atol=1e-6)


def test_maps_keep_within_what_they_may():
    stream = torch.Generator().manual_seed(0)
    found = random_affines(200, (32, 64, 64), stream)
    size = torch.linalg.det(found.matrix).pow(1 / 3)
    assert 0.9 <= size.min() < 0.92 < 1.08 < size.max() <= 1.1 + 1e-6
    middle = torch.tensor([[16.0, 32.0, 32.0]])
    shift = found.back(middle)[:, 0] - middle
    assert 15 < shift.abs().max() <= 16 + 1e-4
    round_trip = found.there(found.back(middle)[:1, 0])[0]
    assert torch.allclose(round_trip, middle, atol=1e-4)
    turned = found.matrix / size.view(-1, 1, 1)
    turn = (turned.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2
    assert turn.min() > math.cos(math.radians(55)), "three turns of 30 degrees at most"
