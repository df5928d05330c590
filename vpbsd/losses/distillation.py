"""Losses on features and logits: the student's against the teacher's targets."""

import torch.nn.functional as F
from torch import Tensor

from vpbsd.losses.classes import by_class, with_background
from vpbsd.losses.weighting import weighted_mean


def feature_l1(z: Tensor, target: Tensor, share: Tensor | None = None) -> Tensor:
    """Averages |z - t| of features; the target takes no gradient.

    With code vectors as target it is L_dis, VpbSD eq. 12; with a regressor's output for z and
    the teacher's continuous state as target it is L_mid, the paper's form of FitNets.

    Args:
        z: (B, d, z, y, x), the student's feature, or tokens (T, d) of it.
        target: same shape.
        share: (B, 1, z, y, x), or (T, 1): valid share of each token.

    Raises:
        ValueError: if the shapes differ.

    >>> import torch
    >>> feature_l1(torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 2.0]]))
    tensor(0.5000)
    """
    return weighted_mean(_difference(z, target).abs(), share)


def feature_l2(z: Tensor, target: Tensor, share: Tensor | None = None) -> Tensor:
    """Averages (z - t)^2 / 2: the original hint (Romero et al. 2015, FitNets, eq. 3).

    The paper sums over elements; we average, or the scale would depend on the volume.

    Args:
        z: as for ``feature_l1``: a regressor's output.
        target: same shape; takes no gradient.
        share: valid share of each token.

    Raises:
        ValueError: if the shapes differ.

    >>> import torch
    >>> feature_l2(torch.tensor([[0.0, 2.0]]), torch.tensor([[2.0, 2.0]]))
    tensor(1.)
    """
    return weighted_mean(_difference(z, target).square(), share) / 2


def softened_kl(
    margin: Tensor, target: Tensor, temperature: float, share: Tensor | None = None
) -> Tensor:
    """Computes T^2 KL(p_T || p_S) of all classes, p = softmax(f / T), mean over voxels.

    Hinton et al. 2015, section 2. Only the logits' differences m_k = f_k - f_0 count. With two
    classes p = sigmoid(m / T), the gradient is T (p_S - p_T) per voxel, and for a large T the loss
    tends to (m_S - m_T)^2 / 8. A mean over samples alone ("batchmean") would be larger by the
    number of voxels.

    Args:
        margin: (B, K, D, H, W), the student's.
        target: same shape, the teacher's; takes no gradient.
        temperature: T, positive.
        share: (B, 1, D, H, W), 0 on padded voxels.

    Raises:
        ValueError: if the shapes differ.

    >>> import torch
    >>> softened_kl(torch.tensor([0.0]), torch.tensor([2.0]), temperature=4.0)  # near 2^2 / 8
    tensor(0.4848)
    """
    _same_shape(margin, target)
    ours, theirs = margin.float() / temperature, target.detach().float() / temperature
    if len(by_class(ours)) > 1:
        said, heard = (with_background(m).log_softmax(1) for m in (theirs, ours))
        kl = (said.exp() * (said - heard)).sum(1, keepdim=True)
        return temperature**2 * weighted_mean(kl, share)
    p = theirs.sigmoid()
    vessel = p * (F.logsigmoid(theirs) - F.logsigmoid(ours))
    background = (1 - p) * (F.logsigmoid(-theirs) - F.logsigmoid(-ours))
    return temperature**2 * weighted_mean(vessel + background, share)


def gaussian_vid(
    mean: Tensor, variance: Tensor, target: Tensor, share: Tensor | None = None
) -> Tensor:
    """Averages ((t - mu)^2 / var + log var) / 2: the loss of Ahn et al. 2019, VID.

    The negative log-likelihood of the teacher's feature without its constant, so it can be
    negative; each channel's best variance is its mean squared error.

    Args:
        mean: (B, d_t, z, y, x), mu.
        variance: (1, d_t, 1, 1, 1), one for each channel, positive.
        target: shape of ``mean``; takes no gradient.
        share: (B, 1, z, y, x), valid share of each token.

    Raises:
        ValueError: if the shapes differ.
    """
    variance = variance.float()
    errors = _difference(mean, target).square() / variance + variance.log()
    return weighted_mean(errors, share) / 2


def boundary_loss(
    z: Tensor, target: Tensor, margin: float = 1.0, share: Tensor | None = None
) -> Tensor:
    """Averages the squared distance from the margin on the teacher's side of zero (AB).

    Heo et al. 2019: (s + m)^2 where t <= 0 and s > -m, (s - m)^2 where t > 0 and s < m, else 0.
    The paper sums over elements; we average, or the scale would depend on the volume.

    Args:
        z: (B, d, z, y, x), s: the connected feature of the student, before any activation.
        target: same shape, t: the teacher's; only its sign counts, and it takes no gradient.
        margin: m, positive.
        share: (B, 1, z, y, x), valid share of each token.

    Raises:
        ValueError: if the shapes differ.
    """
    _same_shape(z, target)
    side = (target.detach() > 0).float() * 2 - 1
    return weighted_mean(F.relu(margin - side * z.float()).square(), share)


def agreement(z: Tensor, target: Tensor, share: Tensor | None = None) -> Tensor:
    """Computes the share of elements on the teacher's side of zero, in [0, 1]; what AB is after.

    Args:
        z: (B, d, z, y, x), s: as ``boundary_loss`` takes it.
        target: same shape, t.
        share: (B, 1, z, y, x), valid share of each token.

    Raises:
        ValueError: if the shapes differ.
    """
    _same_shape(z, target)
    return weighted_mean(((z > 0) == (target > 0)).float(), share)


def _difference(z: Tensor, target: Tensor) -> Tensor:
    _same_shape(z, target)
    return z.float() - target.detach().float()


def _same_shape(z: Tensor, target: Tensor) -> None:
    if z.shape != target.shape:
        raise ValueError(f"feature {tuple(z.shape)} and target {tuple(target.shape)} differ")
