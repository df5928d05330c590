"""Losses on features: the student's against what the teacher says."""

from torch import Tensor

from vpbsd.losses.weighting import weighted_mean


def feature_l1(z: Tensor, target: Tensor, share: Tensor | None = None) -> Tensor:
    """Mean absolute difference of features; the target takes no gradient.

    With code vectors as target it is L_dis, VpbSD eq. 12; with a regressor's output for z and
    the teacher's continuous state as target it is L_mid, the paper's form of FitNets.

    Args:
        z: (B, d, z, y, x), the student's feature, or tokens (T, d) of it.
        target: same shape.
        share: (B, 1, z, y, x), or (T, 1): valid share of each token.

    Raises:
        ValueError: if the shapes differ.
    """
    return weighted_mean(_difference(z, target).abs(), share)


def feature_l2(z: Tensor, target: Tensor, share: Tensor | None = None) -> Tensor:
    """Half the mean squared difference: the original hint (Romero et al. 2015, eq. 3).

    Arguments as for ``feature_l1``; the paper sums over elements, we average.
    """
    return weighted_mean(_difference(z, target).square(), share) / 2


def _difference(z: Tensor, target: Tensor) -> Tensor:
    if z.shape != target.shape:
        raise ValueError(f"feature {tuple(z.shape)} and target {tuple(target.shape)} differ")
    return z.float() - target.detach().float()
