"""When a pre-training would have stopped by S4's criterion, which is logged and stops nothing."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

WINDOW = 10
CLOSE = 0.01


@final
class Convergence(nn.Module):
    """The newest values of an objective, and the first step at which it stood still.

    It stands still where a value is within a hundredth of the mean of the ten before it. Buffers,
    so that a resumed run has them.
    """

    recent: Tensor
    seen: Tensor
    at: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("recent", torch.zeros(WINDOW, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("at", torch.full((), -1, dtype=torch.int64))

    @torch.no_grad()
    def add(self, value: Tensor) -> None:
        """Takes in the objective of one more step."""
        mean = self.recent.mean()
        still = (value.double() - mean).abs() <= CLOSE * mean.abs()
        first = (self.at < 0) & (self.seen >= WINDOW) & still
        self.at.copy_(torch.where(first, self.seen, self.at))  # without asking: no device waits
        self.recent.index_copy_(0, (self.seen % WINDOW)[None], value.double()[None])
        self.seen += 1

    @property
    def step(self) -> int | None:
        """Steps before the first one at which it stood still; None if it never did."""
        return None if self.at < 0 else int(self.at)
