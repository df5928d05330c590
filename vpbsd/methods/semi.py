"""What the semi-supervised baselines share: their settings, the ramped weight, and noise."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from vpbsd.config import LightNet, Section
from vpbsd.losses.schedule import ramp
from vpbsd.losses.segmentation import Supervision
from vpbsd.methods.method import Clock


class SemiConfig(Section):
    """A student, how labels supervise it, and the weight of what unlabelled patches teach."""

    network: LightNet = LightNet()
    sup: Supervision = "dice_ce"
    weight: float = Field(0.1, ge=0)
    """Largest weight of the unlabelled term; 0 leaves it and the unlabelled patches out."""
    ramp_share: float = Field(1.0, gt=0, le=1)
    """Share of all steps over which the weight rises: the whole run, as in the papers' code."""

    @property
    def unlabelled(self) -> bool:
        """Whether unlabelled patches are drawn; the teacher is asked nothing about them."""
        return self.weight > 0


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
