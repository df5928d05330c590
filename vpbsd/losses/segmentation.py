"""Losses on voxels: overlap, cross entropy, reconstruction."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from vpbsd.config import Supervision
from vpbsd.losses.classes import class_numbers, per_class
from vpbsd.losses.weighting import weighted_mean

SMOOTH = 1e-5


def vessel_probability(logits: Tensor) -> Tensor:
    """Computes the softmax of all but the background, (B, 1 + K, ...) -> (B, K, ...), float32.

    >>> vessel_probability(torch.zeros(1, 2, 1, 1, 1)).item()
    0.5
    """
    return torch.softmax(logits.float(), dim=1)[:, 1:]


def dice_loss(probability: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Computes 1 - 2 sum(p g) / (sum p + sum g), summed over the whole batch; mean over classes.

    VpbSD, eqs. 7 and 11 print the coefficient; what is minimised is one minus it. The denominator
    is linear, as set sizes are in eq. 13. Milletari et al. 2016 square it.

    Args:
        probability: (B, K, D, H, W) of the foreground classes, in [0, 1].
        target: same shape, 0 or 1.
        weight: (B, 1, D, H, W), 0 on padded voxels; all voxels count if not given.

    Returns:
        Scalar in [0, 1]; 0 where both are empty.

    Raises:
        ValueError: if the shapes differ.

    >>> dice_loss(torch.tensor([1.0, 1.0, 0.0]), torch.tensor([1.0, 0.0, 0.0]))  # 1 - 2/3
    tensor(0.3333)
    """
    _same_shape(probability, target)

    def of_class(p: Tensor, g: Tensor) -> Tensor:
        w = torch.ones_like(p) if weight is None else weight.float()
        weighted = w * p
        overlap, total = (weighted * g).sum(), weighted.sum() + (w * g).sum()
        return 1 - (2 * overlap + SMOOTH) / (total + SMOOTH)

    return per_class(of_class, probability.float(), target.float())


def dice_ce(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Computes half cross entropy (mean over valid voxels), half Dice loss, as UA-MT does.

    Args:
        logits: (B, 1 + K, D, H, W).
        target: (B, K, D, H, W), 0 or 1.
        weight: (B, 1, D, H, W), 0 on padded voxels.
    """
    dice = dice_loss(vessel_probability(logits), target, weight)
    return (cross_entropy_loss(logits, target, weight) + dice) / 2


def cross_entropy_loss(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Averages the cross entropy over valid voxels, in nats.

    Args:
        logits: (B, 1 + K, D, H, W).
        target: (B, K, D, H, W), 0 or 1.
        weight: (B, 1, D, H, W), 0 on padded voxels.
    """
    entropy = F.cross_entropy(logits.float(), class_numbers(target), reduction="none")
    return weighted_mean(entropy.unsqueeze(1), weight)


def soft_dice_loss(probability: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Computes sum |p - g| / (sum p + sum g), the Dice loss against a probability, by class.

    Wang et al. 2023, Dice semimetric losses, DML1. The product of the plain loss rewards a soft
    target of .6 most with an answer of 1, and the target itself costs .4; here the overlap is the
    smaller of the two, which is the product where the target is 0 or 1. 0 where both are equal.

    Args:
        probability: (B, K, D, H, W) of the foreground classes, in [0, 1].
        target: same shape, in [0, 1].
        weight: (B, 1, D, H, W), 0 on padded voxels; all voxels count if not given.

    Raises:
        ValueError: if the shapes differ.

    >>> soft_dice_loss(torch.tensor([0.6]), torch.tensor([0.6]))
    tensor(0.)
    """
    _same_shape(probability, target)

    def of_class(p: Tensor, g: Tensor) -> Tensor:
        w = torch.ones_like(p) if weight is None else weight.float()
        return (w * (p - g).abs()).sum() / ((w * p).sum() + (w * g).sum() + SMOOTH)

    return per_class(of_class, probability.float(), target.float())


def supervised_loss(
    kind: Supervision, logits: Tensor, target: Tensor, weight: Tensor | None = None
) -> Tensor:
    """Computes an arm's supervised term: VpbSD's Dice loss, or UA-MT's with cross entropy.

    Args:
        kind: ``dice`` or ``dice_ce``.
        logits: (B, 1 + K, D, H, W).
        target: (B, K, D, H, W), 0 or 1.
        weight: (B, 1, D, H, W), 0 on padded voxels.
    """
    if kind == "dice_ce":
        return dice_ce(logits, target, weight)
    return dice_loss(vessel_probability(logits), target, weight)


def reconstruction_loss(
    x: Tensor,
    x_hat: Tensor,
    weight: Tensor | None = None,
    kind: Literal["mse", "l1"] = "mse",
) -> Tensor:
    """Averages the error of a reconstruction over valid voxels: L_rec.

    VpbSD, eq. 5 names the squared error; eq. 6 prints the absolute one.

    Args:
        x: (B, 1, D, H, W), the image.
        x_hat: same shape, its reconstruction.
        weight: same shape, 0 on padded voxels.
        kind: ``mse`` or ``l1``.

    Raises:
        ValueError: if the shapes differ.
    """
    _same_shape(x, x_hat)
    error = x.float() - x_hat.float()
    return weighted_mean(error.square() if kind == "mse" else error.abs(), weight)


def shrunk(x: Tensor, weight: Tensor, scale: int) -> tuple[Tensor, Tensor]:
    """Shrinks an image to means over cubes of scale^3 voxels; cubes with padding do not count.

    Args:
        x: (B, 1, D, H, W), sides multiples of the scale.
        weight: same shape, 0 on padded voxels, else 1.
        scale: side of a cube; 1 changes nothing.

    Returns:
        Means and weights, (B, 1, D/scale, H/scale, W/scale).

    >>> x = torch.arange(8.0).view(1, 1, 2, 2, 2)
    >>> [one.item() for one in shrunk(x, torch.ones_like(x), 2)]
    [3.5, 1.0]
    """
    return F.avg_pool3d(x, scale), (F.avg_pool3d(weight, scale) == 1).to(weight.dtype)


def _same_shape(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {tuple(a.shape)} and {tuple(b.shape)}")
