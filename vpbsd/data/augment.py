"""Flips and quarter turns, the same for an image, its label and the teacher's targets."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vpbsd.data.turns import Turn
from vpbsd.random_streams import generator

V = TypeVar("V", bound=np.generic)


def random_turns(seed: int, purpose: str, step: int, count: int, square: bool) -> list[Turn]:
    """Draws one turn per sample, each of the group equally likely.

    Args:
        seed: Of the stage.
        purpose: Name of the random stream, so that no other draw shifts it.
        step: The optimiser step.
        count: Samples.
        square: Whether patches are as high as wide; if not, they are turned by halves only.
    """
    stream = generator(seed, purpose, step)
    draws = torch.randint(0, 2, (count, 5), generator=stream).tolist()
    return [
        Turn(tuple(axis for axis in range(3) if d[axis]), 2 * d[3] + (d[4] if square else 0))
        for d in draws
    ]


def intensity_shifted(image: Tensor, stream: torch.Generator, most: float = 0.1) -> Tensor:
    """Scales and shifts the intensities of each patch, x -> (1 + a) x + b, kept in [0, 1].

    Args:
        image: (B, ...) in [0, 1].
        stream: On the CPU; a and b of a patch are uniform in [-most, most].
        most: Largest change.
    """
    shape = (2, len(image), *[1] * (image.dim() - 1))
    draw = (2 * torch.rand(shape, generator=stream) - 1) * most
    scale, shift = draw.to(image.device)
    changed: Tensor = image * (1 + scale) + shift
    return changed.clamp(0, 1)


def turned_view(x: NDArray[V], turn: Turn) -> NDArray[V]:
    """Does the same as `turned` to an array, without copying a voxel."""
    if turn.flips:
        x = np.flip(x, tuple(axis - 3 for axis in turn.flips))
    return np.rot90(x, turn.quarters, (-2, -1)) if turn.quarters else x


def stacked(views: list[NDArray[V]]) -> NDArray[V]:
    """Stacks arrays in the usual order of memory, which sums in a network depend on by a bit.

    `np.stack` alone keeps the order of turned views where all of them are turned alike.
    """
    return np.stack(views, out=np.empty((len(views), *views[0].shape), views[0].dtype))


def turned(x: Tensor, turn: Turn) -> Tensor:
    """Mirrors and turns a tensor (..., z, y, x); a grid of features counts as a volume.

    >>> turned(torch.tensor([[[1, 2], [3, 4]]]), Turn(flips=(2,), quarters=1))
    tensor([[[1, 3],
             [2, 4]]])
    """
    if turn.flips:
        x = x.flip([axis - 3 for axis in turn.flips])
    return torch.rot90(x, turn.quarters, (-2, -1)) if turn.quarters else x
