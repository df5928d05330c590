"""What the semi-supervised baselines share: their settings, the ramped weight, and noise."""

from __future__ import annotations

import torch
from torch import Tensor

from vpbsd.losses.schedule import ramp
from vpbsd.methods.configs import SemiConfig
from vpbsd.methods.method import Clock


def semi_weights(clock: Clock, config: SemiConfig, name: str) -> dict[str, float]:
    """1 for `sup`, w(t) for the unlabelled term where the weight is not 0."""
    if not config.weight:
        return {"sup": 1.0}
    return {"sup": 1.0, name: config.weight * ramp(*ramped(clock, config))}


def ramped(clock: Clock, config: SemiConfig) -> tuple[float, float]:
    """Time and length of the ramp, in optimiser steps."""
    return clock.step, config.ramp_share * clock.total_steps


def perturbed(image: Tensor, sigma: float, generator: torch.Generator, copies: int = 1) -> Tensor:
    """Patches with Gaussian noise, clipped at twice its deviation.

    Args:
        image: (B, 1, D, H, W).
        sigma: deviation of the noise, in deviations of each patch.
        generator: of the noise, on the CPU.
        copies: of each patch, each with noise of its own.

    Returns:
        (copies * B, 1, D, H, W); copy k of patch b is row k * B + b.
    """
    noise = torch.randn(copies, *image.shape, generator=generator).clamp_(-2, 2).to(image.device)
    scale = sigma * image.std((1, 2, 3, 4), keepdim=True)
    return (image + scale * noise).flatten(0, 1)
