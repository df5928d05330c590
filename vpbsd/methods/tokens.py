"""What pre-training keeps of the tokens that it saw; buffers, so that a resumed run has them."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from vpbsd.networks.code_usage import histogram, perplexity


@final
class RecentTokens(nn.Module):
    """A ring of the newest tokens, from which k-means starts the codebook."""

    tokens: Tensor
    share: Tensor
    seen: Tensor

    def __init__(self, kept: int, width: int) -> None:
        super().__init__()
        self.register_buffer("tokens", torch.zeros(kept, width))
        self.register_buffer("share", torch.zeros(kept))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def add(self, tokens: Tensor, share: Tensor) -> None:
        """Takes in (T, d) tokens and their valid share (T,), over the oldest ones."""
        at = (self.seen + torch.arange(len(tokens), device=tokens.device)) % len(self.tokens)
        self.tokens[at], self.share[at] = tokens, share
        self.seen += len(tokens)

    def newest(self) -> tuple[Tensor, Tensor]:
        """Returns all tokens that are kept, (T, d), and their valid share, (T,)."""
        kept = int(self.seen.clamp(max=len(self.tokens)))
        return self.tokens[:kept], self.share[:kept]


@final
class Usage(nn.Module):
    """How often each code was the nearest, and how often it was drawn, in one epoch."""

    nearest: Tensor
    sampled: Tensor

    def __init__(self, codes: int) -> None:
        super().__init__()
        self.register_buffer("nearest", torch.zeros(codes, dtype=torch.float64))
        self.register_buffer("sampled", torch.zeros(codes, dtype=torch.float64))

    def clear(self) -> None:
        """Begins a new epoch."""
        self.nearest.zero_()
        self.sampled.zero_()

    def add(self, nearest: Tensor, sampled: Tensor, share: Tensor) -> None:
        """Counts (T,) indices by their valid share."""
        self.nearest += histogram(nearest, len(self.nearest), share)
        self.sampled += histogram(sampled, len(self.sampled), share)

    def readings(self) -> dict[str, float]:
        """Counts the codes in effective use, both ways; nothing before any was used."""
        if not self.nearest.any():
            return {}
        return {
            "perplexity/argmin": perplexity(self.nearest),
            "perplexity/sampled": perplexity(self.sampled),
        }
