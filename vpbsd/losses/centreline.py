"""soft-clDice: overlap of centrelines, which a gap costs more than a thin wall does."""

import torch
import torch.nn.functional as F
from torch import Tensor

SMOOTH = 1.0
AXES = ((3, 1, 1), (1, 3, 1), (1, 1, 3))


def cldice_loss(
    probability: Tensor, target: Tensor, weight: Tensor | None = None, iterations: int = 10
) -> Tensor:
    """One minus the soft clDice of a batch (Shit et al. 2021, eq. 1-2, algorithm 1).

    Padded voxels count as background in both, so that what is said of them changes nothing.

    Args:
        probability: (B, 1, D, H, W) of vessel, in [0, 1].
        target: same shape, 0 or 1.
        weight: same shape, 0 on padded voxels.
        iterations: at least the largest radius in voxels, or thick vessels have no skeleton.
    """
    w = torch.ones_like(target) if weight is None else weight.float()
    p, g = w * probability.float(), w * target.float()
    precision = _share_within(soft_skeleton(p, iterations), g)
    sensitivity = _share_within(soft_skeleton(g, iterations), p)
    return 1 - 2 * precision * sensitivity / (precision + sensitivity)


def soft_skeleton(x: Tensor, iterations: int) -> Tensor:
    """What erosion peels away and opening does not give back, gathered over all depths.

    Args:
        x: (B, 1, D, H, W) in [0, 1].
        iterations: erosions.
    """
    skeleton = _ridge(x)
    for _ in range(iterations):
        x = _eroded(x)
        ridge = _ridge(x)
        skeleton = skeleton + F.relu(ridge - skeleton * ridge)
    return skeleton


def _share_within(skeleton: Tensor, mask: Tensor) -> Tensor:
    return ((skeleton * mask).sum() + SMOOTH) / (skeleton.sum() + SMOOTH)


def _ridge(x: Tensor) -> Tensor:
    """What an opening removes."""
    return F.relu(x - F.max_pool3d(_eroded(x), 3, stride=1, padding=1))


def _eroded(x: Tensor) -> Tensor:
    """The least of a voxel and its six neighbours."""
    z, y, x_ = (-F.max_pool3d(-x, axis, stride=1, padding=[n // 2 for n in axis]) for axis in AXES)
    return torch.minimum(torch.minimum(z, y), x_)
