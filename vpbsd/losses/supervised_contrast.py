"""Contrast by label: what has one label is to be alike, and unlike what has another."""

import torch
from torch import Tensor

from vpbsd.losses.contrast import NEVER, similarities


def supervised_contrast(
    vectors: Tensor,
    labels: Tensor,
    anchors: Tensor,
    temperature: float,
    *,
    balanced: bool = True,
) -> Tensor | None:
    """Computes L_bcl of MCSC: every class weighs the same in the denominator, however frequent.

    The mean over anchors i, and over others p of its class, of
    -log exp(s_ip) / sum_classes mean_{k of the class, k != i} exp(s_ik), with s = cosine / tau.
    Liu et al. 2023, L_bcl; Zhu et al. 2022, Balanced contrastive learning. As in the former's
    code an anchor is no member of its own class. Where all vectors are equal it is ln(classes).

    Args:
        vectors: (n, c).
        labels: (n,), the class of each.
        anchors: (n,), bool: rows that the mean is taken over; the others are their company.
        temperature: tau, positive.
        balanced: if not, the denominator is the plain sum over all k (Khosla et al. 2020).

    Returns:
        Scalar; None where no anchor has another row of its class.

    >>> alike, labels = torch.ones(10, 3), torch.tensor([1] * 2 + [0] * 8)
    >>> supervised_contrast(alike, labels, labels == 1, 0.1)  # ln 2
    tensor(0.6931)
    """
    s = similarities(vectors, vectors) / temperature
    same = (labels[:, None] == labels[None]).float()
    others = 1 - torch.eye(len(labels), device=s.device)
    positives = same * others
    members = torch.where(same > 0, positives.sum(1, keepdim=True), same.sum(1)[None])
    weighed = s - members.clamp_min(1).log() if balanced else s
    denominator = weighed.masked_fill(others == 0, NEVER).logsumexp(1)
    count = positives.sum(1)
    used = anchors & (count > 0)
    if not used.any():
        return None
    costs = denominator - (s * positives).sum(1) / count.clamp_min(1)
    return costs[used].mean()
