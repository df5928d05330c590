"""Which samples lose their skips: pre-training and fine-tuning draw alike."""

from __future__ import annotations

import torch
from torch import Tensor

from vpbsd.methods.method import Clock
from vpbsd.networks.swin_unetr import SKIPS
from vpbsd.random_streams import generator


def kept_skips(batch: Tensor, chance: float, seed: int, clock: Clock) -> Tensor:
    """Draws (B, 5) of 0 and 1: a sample loses all its skips, or none.

    Args:
        batch: (B, ...), on the device that the answer is for.
        chance: Of losing them, in [0, 1].
        seed: Of the stage.
        clock: Each step draws anew.
    """
    draw = torch.rand(len(batch), 1, generator=generator(seed, "skips", clock.step))
    return (draw >= chance).float().to(batch.device).expand(len(batch), SKIPS)
