"""What the semi-supervised baselines share: their settings, the ramped weight, and noise."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vpbsd.data.patches import Semi
from vpbsd.losses.schedule import ramp
from vpbsd.losses.segmentation import supervised_loss, vessel_probability
from vpbsd.methods.configs import SemiConfig
from vpbsd.methods.method import Clock

BOXES = 5


class Guess(NamedTuple):
    """The student's probabilities (B, K, D, H, W) on unlabelled patches (B, 1, D, H, W)."""

    vessel: Tensor
    image: Tensor
    valid: Tensor


def supervised_terms(
    student: nn.Module, config: SemiConfig, batch: Semi
) -> tuple[dict[str, Tensor], Guess | None]:
    """Returns `sup` on labels and, with a weight, the student's guess on unlabelled patches."""
    labelled, unlabelled = batch
    logits = student(labelled.image).logits
    terms = {"sup": supervised_loss(config.sup, logits, labelled.label, labelled.valid)}
    if not config.weight:
        return terms, None
    assert unlabelled is not None, "unlabelled patches come with the batch"
    vessel = vessel_probability(student(unlabelled.image).logits)
    return terms, Guess(vessel, unlabelled.image, unlabelled.valid)


def semi_weights(clock: Clock, config: SemiConfig, name: str) -> dict[str, float]:
    """Returns 1 for `sup`, w(t) for the unlabelled term where the weight is not 0."""
    if not config.weight:
        return {"sup": 1.0}
    return {"sup": 1.0, name: ramped_weight(clock, config.weight, config.ramp_share)}


def ramped_weight(clock: Clock, weight: float, share: float) -> float:
    """Returns what a weight has risen to that reaches its largest value at a share of all steps.

    >>> [round(ramped_weight(Clock(step, 10, 100), 0.1, 0.5), 4) for step in (0, 25, 50)]
    [0.0007, 0.0287, 0.1]
    """
    return weight * ramp(clock.step, share * clock.total_steps)


def ramped(clock: Clock, config: SemiConfig) -> tuple[float, float]:
    """Returns time and length of the ramp, in optimiser steps."""
    return clock.step, config.ramp_share * clock.total_steps


def perturbed(image: Tensor, sigma: float, generator: torch.Generator, copies: int = 1) -> Tensor:
    """Adds Gaussian noise to patches, clipped at twice its deviation.

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


def inpainted(image: Tensor, generator: torch.Generator) -> Tensor:
    """Paints five boxes of a patch over with uniform noise, sides 1/6 to 1/3 of its own.

    Zhou et al. 2019, Models Genesis: in-painting, of which the rest is to tell what was there.

    Args:
        image: (B, 1, D, H, W) in [0, 1].
        generator: of boxes, which may overlap, and noise, on the CPU.
    """
    painted = image.clone()
    sides = torch.tensor(image.shape[2:])
    for patch in painted:
        for _ in range(BOXES):
            size = (sides * (1 + torch.rand(3, generator=generator)) / 6).long()
            start = ((sides - size + 1) * torch.rand(3, generator=generator)).long()
            z, y, x = (slice(a, a + n) for a, n in zip(start.tolist(), size.tolist(), strict=True))
            noise = torch.rand(size.tolist(), generator=generator)
            patch[0, z, y, x] = noise.to(image)
    return painted
