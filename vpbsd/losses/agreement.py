"""Losses on voxels without label: consistency of two predictions, and entropy of one."""

from math import log

import torch
from torch import Tensor

from vpbsd.losses.classes import by_class
from vpbsd.losses.schedule import ramp
from vpbsd.losses.weighting import weighted_mean

FLOOR = 1e-6
"""Within the logarithm, as in the code of UA-MT."""


def consistency_loss(probability: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Averages (p - t)^2 of two predictions; the target takes no gradient.

    Tarvainen and Valpola 2017, Mean teachers: the mean over the softmax. Of two classes both
    differ by the same amount, so it is that over the one foreground channel.

    Args:
        probability: (B, K, D, H, W) of the foreground classes, in [0, 1].
        target: same shape.
        weight: (B, 1, D, H, W), 0 on padded and on uncertain voxels; 0 is returned if all are.

    >>> consistency_loss(torch.tensor([0.5, 1.0]), torch.tensor([0.0, 1.0]))
    tensor(0.1250)
    """
    error = probability.float() - target.detach().float()
    if len(by_class(error)) > 1:
        error = torch.cat((-error.sum(1, keepdim=True), error), 1)  # background's
    return weighted_mean(error.square(), weight)


def entropy_loss(probability: Tensor, weight: Tensor | None = None) -> Tensor:
    """Averages the entropy of 1 + K classes in units of ln (1 + K): 0 to 1 (ADVENT, eq. 2-3).

    Vu et al. 2019, the direct form; unlabelled voxels are to be decided on.

    Args:
        probability: (B, K, D, H, W) of the foreground classes, in [0, 1].
        weight: (B, 1, D, H, W), 0 on padded voxels.

    >>> entropy_loss(torch.tensor([0.5])), entropy_loss(torch.tensor([1.0])).round(decimals=4)
    (tensor(1.0000), tensor(-0.))
    """
    return weighted_mean(entropy(probability), weight) / log(1 + len(by_class(probability)))


def entropy(probability: Tensor) -> Tensor:
    """Computes -sum_c p_c ln(p_c + 1e-6) of all classes, by voxel, in nats (UA-MT, eq. 3).

    Yu et al. 2019; at most ln (1 + K).

    Args:
        probability: (B, K, D, H, W) of the foreground classes, in [0, 1].

    Returns:
        (B, 1, D, H, W).
    """
    classes = by_class(probability.float())
    every = (*classes, 1 - sum(classes[1:], classes[0]))
    return -sum((p * (p + FLOOR).log() for p in every), torch.zeros_like(classes[0]))


def certainty_threshold(t: float, length: float, start: float = 0.75, classes: int = 2) -> float:
    """Computes the entropy below which a voxel counts as certain: start * ln C, then up to ln C.

    Yu et al. 2019, UA-MT, section 2.3. At its end every voxel passes.

    Args:
        t: time.
        length: of the ramp, in the unit of t.
        start: share of ln C, in [0, 1].
        classes: C, background included.

    Returns:
        Nats. (start + (1 - start) * ramp(t, length)) * ln C.

    >>> round(certainty_threshold(10, 10) / log(2), 4)
    1.0
    """
    return (start + (1 - start) * ramp(t, length)) * log(classes)
