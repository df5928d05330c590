"""Contrast of vectors: what belongs together is to be alike, more than what does not."""

import torch
import torch.nn.functional as F
from torch import Tensor

from vpbsd.losses.weighting import weighted_mean

NEVER = -1e4
"""Similarity of what is left out of a softmax; finite, so that 0 times it is 0."""


def similarities(a: Tensor, b: Tensor) -> Tensor:
    """Computes cosines of all pairs in float32, (..., n, c), (..., m, c) -> (..., n, m).

    >>> similarities(torch.tensor([[3.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 2.0]])).tolist()
    [[1.0, 0.0]]
    """
    return products(F.normalize(a.float(), dim=-1), F.normalize(b.float(), dim=-1))


def products(a: Tensor, b: Tensor) -> Tensor:
    """Computes inner products of all pairs in float32, (..., n, c), (..., m, c) -> (..., n, m).

    Not under autocast: bfloat16 has 8 bits, and a temperature makes 10 of every error of .1.
    """
    with torch.autocast(a.device.type, enabled=False):
        return a.float() @ b.float().mT


def info_nce(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Computes the mean of l(f_i -> s_i) + l(s_i -> f_i), each with all n rows below its fraction.

    l(a -> b_i) = -log exp(cos(a, b_i) / tau) / sum_k exp(cos(a, b_k) / tau): van den Oord et al.
    2018; both ways in SimCVD, eq. 2-3. 2 ln n where all are equal.

    Args:
        first: (n, c).
        second: same shape, row i belongs to row i.
        temperature: tau, positive.

    >>> round(info_nce(torch.ones(6, 2), torch.ones(6, 2), 0.5).item(), 6)  # 2 ln 6
    3.583519
    """
    logits = similarities(first, second) / temperature
    own = torch.arange(len(logits), device=logits.device)
    return F.cross_entropy(logits, own) + F.cross_entropy(logits.mT, own)


def pairwise_loss(student: Tensor, teacher: Tensor, share: Tensor) -> Tensor:
    """Averages -log exp(cos(s_j, t_j)) / sum_k exp(cos(s_j, t_k)) over the tokens of each patch.

    SimCVD, eq. 4 sums over tokens; a mean does not grow with their number n. It lies between
    ln(1 + (n - 1) e^-2) and, where all are equal, ln n.

    Args:
        student: (B, c, d, h, w).
        teacher: same shape, from the same places.
        share: (B, 1, d, h, w), how much of a token is real; one that is not at all is left out.
    """
    ours, theirs = (x.flatten(2).mT for x in (student, teacher))
    real = share.flatten(1)
    cosines = similarities(ours, theirs).masked_fill(real[:, None] == 0, NEVER)
    own = cosines.log_softmax(-1).diagonal(dim1=1, dim2=2)
    return weighted_mean(-own, real)
