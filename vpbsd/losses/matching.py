"""Losses on the matching of two sets of tokens: S2DC's (S2 eq. 1, 4-8), and its code's variants.

N tokens of one view against M of another; M_gt (N, M) tells which two show one place. S2 is Pan et
al. 2025, Structure-aware semantic discrepancy and consistency. Where its text and its code differ,
both are here: functions that end in `coded` follow the code.
"""

from __future__ import annotations

from math import log

import torch
import torch.nn.functional as F
from torch import Tensor

from vpbsd.losses.contrast import NEVER, products

ITERATIONS = 100
DUSTBIN = 1.0
LEAST = 1e-6


def queue_contrast(
    query: Tensor, positive: Tensor, negatives: Tensor, allowed: Tensor, tau: float
) -> Tensor:
    """Computes -log exp(q k+ / tau) / sum over k+ and a queue of negatives (S2 eq. 1), (B,).

    The printed tau stands outside the exponential of the sum: a misprint.

    Args:
        query: (B, d).
        positive: (B, d), the key of each.
        negatives: (K, d).
        allowed: (B, K), which of them count for which query.
        tau: Temperature.
    """
    own = products(query[:, None], positive[:, None])[:, 0] / tau
    others = (products(query, negatives) / tau).masked_fill(~allowed, NEVER)
    first = torch.zeros(len(query), dtype=torch.int64, device=query.device)
    return F.cross_entropy(torch.cat([own, others], 1), first, reduction="none")


def dual_softmax(scores: Tensor) -> Tensor:
    """Computes log M_hat = log softmax of rows + log softmax of columns (S2 eq. 4), (N, M)."""
    return scores.log_softmax(1) + scores.log_softmax(0)


def sinkhorn(scores: Tensor) -> Tensor:
    """Computes log M_hat by optimal transport with a dustbin for what matches nothing, (N, M).

    Each token has mass 1 and each dustbin that of all tokens opposite, so that rows and columns of
    M_hat sum to at most 1. In the log domain; S2's alternative to eq. 4, as in SuperGlue, and with
    the numbers of S2's code: `ITERATIONS`, and `DUSTBIN` as the score of a token against its own.

    Args:
        scores: (N, M).
    """
    n, m = scores.shape
    full = F.pad(scores, (0, 1, 0, 1), value=DUSTBIN)
    rows, columns = full.new_zeros(n + 1), full.new_zeros(m + 1)
    rows[-1], columns[-1] = log(m), log(n)
    u, v = torch.zeros_like(rows), torch.zeros_like(columns)
    for _ in range(ITERATIONS):
        u = rows - (full + v).logsumexp(1)
        v = columns - (full + u[:, None]).logsumexp(0)
    return (full + u[:, None] + v)[:n, :m]


def sharpe(similarity: Tensor, *, unbiased: bool = False) -> Tensor:
    """Computes (max - mean) / standard deviation of each row (S2 eq. 6), (N, M) -> (N,).

    The text says variance; the symbol, the name of the ratio and the code are a deviation's.
    """
    spread = similarity.std(1, correction=int(unbiased)).clamp_min(LEAST)
    return (similarity.amax(1) - similarity.mean(1)) / spread


def structure_weights(similarity: Tensor, *, unbiased: bool = False) -> Tensor:
    """Averages the softmaxed Sharpe ratios of both tokens of a pair (S2 eq. 7), (N, M).

    They weigh the loss and are no part of what is learned: no gradient.
    """
    with torch.no_grad():
        rows = sharpe(similarity, unbiased=unbiased).softmax(0)
        columns = sharpe(similarity.mT, unbiased=unbiased).softmax(0)
        return (rows[:, None] + columns) / 2


def printed_losses(cosine: Tensor, log_match: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Computes L_p2p (S2 eq. 5) and L_p2s (eq. 7-8) as they are printed, but for 1 / N^2.

    L_p2p averages -log M_hat over the matches. L_p2s weighs the same terms, with weights that sum
    to no more than 1 over matches; eq. 8 divides their sum by all pairs besides, which would leave
    nothing of it, and the code does not.

    Args:
        cosine: (N, M), similarities that the Sharpe ratios are taken of.
        log_match: (N, M), log M_hat.
        truth: (N, M), M_gt.
    """
    terms = -log_match * truth
    weighted = structure_weights(cosine) * terms
    return terms.sum() / truth.sum().clamp_min(1), weighted.sum()


def coded_losses(cosine: Tensor, log_match: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Computes both as the authors' code does, which pushes apart what is no match.

    L_p2p = mean of -log M_hat over matches + mean of -log(1 - M_hat) over the others. L_p2s takes
    (1 + cosine) / 2 for M_hat: the weighted sum over matches, and the same mean over the others.

    Args:
        cosine: (N, M).
        log_match: (N, M), log M_hat.
        truth: (N, M), M_gt.
    """
    match, near = ((x.clamp(LEAST, 1 - LEAST)) for x in (log_match.exp(), (1 + cosine) / 2))
    weight, count = structure_weights(cosine, unbiased=True), truth.sum().clamp_min(1)
    p2p = -(match.log() * truth).sum() / count
    p2s = -(weight * near.log() * truth).sum()
    return p2p + _apart(match, truth), p2s + _apart(near, truth)


def match_readings(cosine: Tensor, truth: Tensor) -> dict[str, float]:
    """Measures the share of tokens with a match, how often it is the nearest, the Sharpe ratio."""
    with torch.no_grad():
        rows = truth.any(1)
        nearest = cosine.argmax(1)[rows] == truth.float().argmax(1)[rows]
        return {
            "matched": float(rows.float().mean()),
            "match_accuracy": float(nearest.float().mean()),
            "sharpe": float(sharpe(cosine).mean()),
        }


def _apart(confidence: Tensor, truth: Tensor) -> Tensor:
    """Averages -log(1 - confidence) over what is no match."""
    return -((1 - confidence).log() * ~truth).sum() / (~truth).sum().clamp_min(1)
