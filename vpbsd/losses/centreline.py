"""soft-clDice: overlap of centrelines, which a gap costs more than a thin wall does."""

import torch
import torch.nn.functional as F
from torch import Tensor

from vpbsd.losses.classes import per_class

SMOOTH = 1.0
AXES = ((3, 1, 1), (1, 3, 1), (1, 1, 3))


def cldice_loss(
    probability: Tensor, target: Tensor, weight: Tensor | None = None, iterations: int = 10
) -> Tensor:
    """Computes one minus the soft clDice of a batch (Shit et al. 2021, eq. 1-2, algorithm 1).

    2 Tp Ts / (Tp + Ts), with Tp the share of the prediction's skeleton inside the truth, and Ts
    that of the truth's skeleton inside the prediction. Padded voxels count as background in both,
    so that no prediction there changes anything.

    Args:
        probability: (B, K, D, H, W) of the foreground classes, in [0, 1].
        target: same shape, 0 or 1.
        weight: (B, 1, D, H, W), 0 on padded voxels.
        iterations: at least the largest radius in voxels, or thick vessels have no skeleton.

    Returns:
        Scalar in [0, 1]; the mean over classes.
    """

    def of_class(p: Tensor, g: Tensor) -> Tensor:
        w = torch.ones_like(g) if weight is None else weight.float()
        p, g = w * p, w * g
        precision = _share_within(soft_skeleton(p, iterations), g)
        sensitivity = _share_within(soft_skeleton(g, iterations), p)
        return 1 - 2 * precision * sensitivity / (precision + sensitivity)

    return per_class(of_class, probability.float(), target.float())


def soft_skeleton(x: Tensor, iterations: int) -> Tensor:
    """Gathers over all depths what erosion peels away and opening does not give back.

    Args:
        x: (B, 1, D, H, W) in [0, 1].
        iterations: erosions.

    >>> bar = torch.zeros(1, 1, 5, 5, 9)
    >>> bar[..., 1:4, 1:4, :] = 1  # three voxels thick
    >>> soft_skeleton(bar, 2)[0, 0, 2, :, 4].tolist()
    [0.0, 0.0, 1.0, 0.0, 0.0]
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
    """Keeps what an opening removes."""
    return F.relu(x - F.max_pool3d(_eroded(x), 3, stride=1, padding=1))


def _eroded(x: Tensor) -> Tensor:
    """Takes the least of a voxel and its six neighbours."""
    z, y, x_ = (-F.max_pool3d(-x, axis, stride=1, padding=[n // 2 for n in axis]) for axis in AXES)
    return torch.minimum(torch.minimum(z, y), x_)
