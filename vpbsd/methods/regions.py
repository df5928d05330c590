"""S2DC's regions: cut into crops, moved to a second view, their tokens paired."""

from __future__ import annotations

from typing import NamedTuple

from einops import rearrange
from torch import Tensor

from vpbsd.data.affine import Affine, random_affines, same_places, warped
from vpbsd.data.patches import Unlabelled
from vpbsd.losses.weighting import token_share
from vpbsd.random_streams import generator

CELL = 16
"""Side in voxels of what a token stands for."""
ENOUGH = 0.5
"""Share of a token that must be image, neither padding nor beyond the region."""


class Moved(NamedTuple):
    """Regions as the second view has them, (B, 1, D, 2H, 2W), and the maps between both."""

    image: Tensor
    valid: Tensor
    affine: Affine


class Pair(NamedTuple):
    """Tokens of one region in both views, (N, d) and (M, d), and M_gt (N, M)."""

    here: Tensor
    there: Tensor
    truth: Tensor


def cropped(region: Tensor) -> Tensor:
    """Cuts regions into 2 x 2 crops along y and x, (B, c, D, 2H, 2W) -> (4B, c, D, H, W)."""
    return rearrange(region, "b c d (i h) (j w) -> (b i j) c d h w", i=2, j=2)


def joined(crops: Tensor) -> Tensor:
    """Puts the crops of regions together again, (4B, c, d, h, w) -> (B, c, d, 2h, 2w)."""
    return rearrange(crops, "(b i j) c d h w -> b c d (i h) (j w)", i=2, j=2)


def moved(batch: Unlabelled, seed: int, step: int) -> Moved:
    """Draws an affine map for each region, and resamples the region by it."""
    stream = generator(seed, "affine", step)
    affine = random_affines(len(batch.image), batch.image.shape[2:], stream)
    return Moved(
        warped(batch.image, affine, mirrored=True),
        warped(batch.valid, affine, mirrored=False),
        affine,
    )


def pairs_of(here: Tensor, there: Tensor, batch: Unlabelled, other: Moved) -> list[Pair]:
    """Pairs the tokens of both views, region by region; those that are hardly image are left out.

    Args:
        here: (4B, d, *grid), projected tokens of the crops of the first view.
        there: The same of the second.
        batch: The first view.
        other: The second.
    """
    first, second = (joined(tokens) for tokens in (here, there))
    grid = tuple(first.shape[2:])
    truth = same_places(other.affine, grid, CELL).to(here.device)
    rows, columns = (
        token_share(valid, grid).flatten(1) >= ENOUGH for valid in (batch.valid, other.valid)
    )
    return [
        Pair(a.flatten(1).mT[row], b.flatten(1).mT[column], t[row][:, column])
        for a, b, t, row, column in zip(first, second, truth, rows, columns, strict=True)
    ]
