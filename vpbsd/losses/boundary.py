"""Signed distances to a boundary: the map of a label, and the loss against it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from vpbsd.losses.weighting import weighted_mean


def signed_distance(label: Tensor, valid: Tensor, clip: int) -> Tensor:
    """Computes how far each voxel is from the boundary, negative inside, in units of ``clip``.

    The convention of SASSNet's and DTC's code, which SimCVD follows: voxels of the object that
    touch the background with a face are 0, further in it is minus the distance to the background,
    outside the distance to the object. There each side is divided by its own maximum; here both by
    one length, or inside and outside of thin vessels would differ in slope.

    Args:
        label: (B, K, D, H, W), 0 or 1; each class has a map of its own.
        valid: (B, 1, D, H, W), 0 on padded voxels, which are neither inside nor outside.
        clip: voxels beyond which all is equally far.

    Returns:
        Same shape, in [-1, 1]; 1 where the patch has no object, -1 where it has nothing else.

    >>> label = torch.tensor([0.0, 0, 1, 1, 1]).view(1, 1, 1, 1, 5)
    >>> signed_distance(label, torch.ones_like(label), 4).flatten().tolist()
    [0.5, 0.25, 0.0, -0.5, -0.75]
    """
    inside, outside = (label > 0.5) & (valid > 0), (label <= 0.5) & (valid > 0)
    depth, height = clipped_distance(outside, clip), clipped_distance(inside, clip)
    within = torch.where(depth > 1, -depth, torch.zeros_like(depth))
    return torch.where(label > 0.5, within, height) / clip


def clipped_distance(where: Tensor, clip: int) -> Tensor:
    """Computes the Euclidean distance to the nearest voxel of a mask, at most ``clip``.

    Squared distances are least sums of squared steps along three axes, one axis after the other.
    Nothing leaves the device, as it would for scipy's transform.

    Args:
        where: bool, (B, K, D, H, W).
        clip: voxels.
    """
    beyond = 3.0 * (clip + 1) ** 2  # further than any distance that counts
    squares = torch.where(where, 0.0, beyond)
    for axis in (2, 3, 4):
        side = squares.shape[axis]
        border = [0, 0] * (4 - axis) + [clip, clip]
        padded = F.pad(squares, border, value=beyond)
        steps = [padded.narrow(axis, clip + d, side) + d * d for d in range(-clip, clip + 1)]
        squares = torch.stack(steps).amin(0)
    return squares.sqrt().clamp(max=clip)


def distance_loss(guess: Tensor, label: Tensor, valid: Tensor, clip: int) -> Tensor:
    """Averages the squared error of a signed distance map over valid voxels: SimCVD, eq. 1.

    Args:
        guess: (B, K, D, H, W), in [-1, 1].
        label: same shape, 0 or 1.
        valid: (B, 1, D, H, W), 0 on padded voxels.
        clip: see `signed_distance`.
    """
    return weighted_mean((guess.float() - signed_distance(label, valid, clip)).square(), valid)
