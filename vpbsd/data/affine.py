"""Affine maps between two views of a region, and which of their patches show one place.

Positions are in voxels along z, y, x, and continuous: voxel k of an axis covers [k, k + 1), and
patch i of side a has its centre at (i + .5) a.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

DEGREES, SHIFT, SCALE = 30.0, 16.0, 0.1
"""Largest turn about each axis, shift along it in voxels, and change of size, either way."""


class Affine(NamedTuple):
    """Maps from the second view of B regions to the first, x -> matrix x + offset (H^-1 of S2)."""

    matrix: Tensor
    """(B, 3, 3)."""
    offset: Tensor
    """(B, 3)."""

    def back(self, points: Tensor) -> Tensor:
        """Maps points of the second view into the first, (N, 3) -> (B, N, 3)."""
        moved: Tensor = points @ self.matrix.mT + self.offset[:, None]
        return moved

    def there(self, points: Tensor) -> Tensor:
        """Maps points of the first view into the second, (N, 3) -> (B, N, 3)."""
        moved: Tensor = (points - self.offset[:, None]) @ torch.linalg.inv(self.matrix).mT
        return moved


def random_affines(
    count: int,
    sides: Sequence[int],
    stream: torch.Generator,
) -> Affine:
    """Draws maps about the middle of a region: turns about all three axes, scaling, a shift.

    Args:
        count: B.
        sides: Of the region, in voxels.
        stream: On the CPU.
    """
    draw = 2 * torch.rand(count, 7, generator=stream) - 1
    matrix = torch.eye(3).repeat(count, 1, 1) * (1 + SCALE * draw[:, 6]).view(-1, 1, 1)
    for axis, angle in enumerate((draw[:, :3] * math.radians(DEGREES)).unbind(1)):
        matrix = matrix @ _turn(axis, angle)
    middle = torch.tensor([side / 2 for side in sides])
    return Affine(matrix, middle + SHIFT * draw[:, 3:6] - matrix @ middle)


def warped(x: Tensor, affine: Affine, *, mirrored: bool) -> Tensor:
    """Resamples regions as the second view sees them: y(p) = x(H^-1 p), linearly.

    Args:
        x: (B, C, D, H, W).
        affine: Of each region.
        mirrored: What lies beyond the region: its mirror image, or zeros.
    """
    sides = torch.tensor(x.shape[2:], dtype=torch.float32, device=x.device)
    axes = [torch.arange(n, device=x.device) + 0.5 for n in x.shape[2:]]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, 2)
    at = 2 * _on(affine, x.device).back(points) / sides - 1
    grid = at.flip(-1).view(len(x), *x.shape[2:], 3)  # grid_sample wants x, y, z
    mode = "reflection" if mirrored else "zeros"
    return F.grid_sample(x, grid.to(x.dtype), padding_mode=mode, align_corners=False)


def same_places(affine: Affine, grid: Sequence[int], cell: int) -> Tensor:
    """Finds the patches of two views that show one place (S2 eq. 2-3): M_gt, (B, N, N) of bools.

    Row i, column j: the centre of patch i, moved, lies in patch j of the second view, and the
    centre of j, moved back, in patch i of the first. Patches are half open, so that a row and a
    column have at most one.

    Args:
        affine: Of each region.
        grid: Patches along z, y, x; N of them, in that order.
        cell: Side of a patch in voxels.
    """
    device = affine.matrix.device
    axes = [torch.arange(n, device=device) for n in grid]
    cells = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, 2)
    centres = (cells + 0.5) * cell
    there, back = (
        (points / cell).floor() for points in (affine.there(centres), affine.back(centres))
    )
    forth = (there[:, :, None] == cells).all(-1)
    return forth & (back[:, None] == cells[:, None]).all(-1)


def _turn(axis: int, angle: Tensor) -> Tensor:
    """Makes rotations about an axis, (B,) -> (B, 3, 3)."""
    a, b = (n for n in range(3) if n != axis)
    turn = torch.eye(3).repeat(len(angle), 1, 1)
    turn[:, a, a] = turn[:, b, b] = angle.cos()
    turn[:, a, b], turn[:, b, a] = -angle.sin(), angle.sin()
    return turn


def _on(affine: Affine, device: torch.device) -> Affine:
    return Affine(*(x.to(device) for x in affine))
