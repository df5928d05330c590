"""Flips and quarter turns, the same for an image, its label and everything said about it."""

from __future__ import annotations

import torch
from torch import Tensor

from vpbsd.data.turns import Turn
from vpbsd.random_streams import generator


def random_turns(seed: int, purpose: str, step: int, count: int, square: bool) -> list[Turn]:
    """One turn per sample; patches that are not square in y-x are turned by halves only."""
    stream = generator(seed, purpose, step)
    draws = torch.randint(0, 2, (count, 5), generator=stream).tolist()
    return [
        Turn(tuple(axis for axis in range(3) if d[axis]), 2 * d[3] + (d[4] if square else 0))
        for d in draws
    ]


def turned(x: Tensor, turn: Turn) -> Tensor:
    """The tensor (..., z, y, x) mirrored and turned; a grid of features counts as a volume."""
    if turn.flips:
        x = x.flip([axis - 3 for axis in turn.flips])
    return torch.rot90(x, turn.quarters, (-2, -1)) if turn.quarters else x
