"""Which samples lose their skips: pre-training and fine-tuning draw alike."""

from __future__ import annotations

import torch
from torch import Tensor

from vpbsd.distributed import own_slice, ranks
from vpbsd.methods.method import Clock
from vpbsd.networks.swin_unetr import SKIPS
from vpbsd.random_streams import generator


def kept_skips(batch: Tensor, chance: float, seed: int, clock: Clock) -> Tensor:
    """Draws (B, 5) of 0 and 1: a sample loses all its skips, or none.

    Several processes draw for the whole batch and take their part of it.

    Args:
        batch: (B, ...), this process's part, on the device that the answer is for.
        chance: Of losing them, in [0, 1].
        seed: Of the stage.
        clock: Each step draws anew.
    """
    everyone = len(batch) * ranks()
    draw = torch.rand(everyone, 1, generator=generator(seed, "skips", clock.step))
    kept = (draw[own_slice(everyone)] >= chance).float()
    return kept.to(batch.device).expand(len(batch), SKIPS)
