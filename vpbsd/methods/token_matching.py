"""S2DC's losses on pairs of token sets, one of each region, in the form that its config names."""

from __future__ import annotations

import torch
from torch import Tensor

from vpbsd.losses.contrast import similarities
from vpbsd.losses.matching import (
    coded_losses,
    dual_softmax,
    match_readings,
    printed_losses,
    sinkhorn,
)
from vpbsd.methods.pretraining_configs import S2dcTerms
from vpbsd.methods.regions import Pair


def matching_losses(config: S2dcTerms, pairs: list[Pair]) -> dict[str, Tensor]:
    """Computes `p2p` and `p2s`, means over regions; 0 for one without a match."""
    matcher = dual_softmax if config.matcher == "dual" else sinkhorn
    losses = printed_losses if config.form == "paper" else coded_losses
    found = []
    for here, there, truth in pairs:
        cosine = similarities(here, there)
        if truth.any():
            found.append(losses(cosine, matcher(cosine / config.tau_match), truth))
        else:
            found.append((cosine.sum() * 0, cosine.sum() * 0))
    p2p, p2s = (torch.stack(terms).mean() for terms in zip(*found, strict=True))
    return {"p2p": p2p, "p2s": p2s}


def matching_readings(pairs: list[Pair]) -> dict[str, float]:
    """Measures the last region that has a match, see `match_readings`; nothing if none has."""
    matched = [pair for pair in pairs if pair.truth.any()]
    if not matched:
        return {}
    here, there, truth = matched[-1]
    return match_readings(similarities(here, there), truth)
