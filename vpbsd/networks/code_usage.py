"""How much of a codebook is in use: counts of codes, and what is read off them."""

import torch
from torch import Tensor


def histogram(indices: Tensor, size: int, weights: Tensor | None = None) -> Tensor:
    """Counts how often each code was used, (T,) -> (N,) float64; tokens count their valid share.

    >>> histogram(torch.tensor([0, 2, 2]), 4, torch.tensor([1.0, 1.0, 0.5])).tolist()
    [1.0, 0.0, 1.5, 0.0]
    """
    share = torch.ones_like(indices) if weights is None else weights
    return torch.bincount(indices, share.double(), minlength=size)


def usage(counts: Tensor) -> float:
    """Computes the share of codes that were used at all, in [0, 1].

    >>> usage(torch.tensor([3.0, 0.0, 1.0, 0.0]))
    0.5
    """
    return float((counts > 0).double().mean())


def perplexity(counts: Tensor) -> float:
    """Computes the codes in effective use: exp(entropy), 1 to N; 0 where nothing was counted.

    >>> round(perplexity(torch.tensor([2.0, 2.0, 0.0])), 6)
    2.0
    """
    if not counts.any():
        return 0.0
    shares = counts.double() / counts.double().sum()
    return float(torch.special.entr(shares).sum().exp())
