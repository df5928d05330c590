"""Losses on slices of volumes: comparative (S4 eq. 2), contrastive (eq. 3), Chaitanya's G^D.

M volumes, P slabs of one axis, one slice of each slab and volume; s[i, j, p, q] is the cosine of
slice p of volume i and slice q of volume j. Sums over pairs are means here, so that a learning
rate holds for any M and P. References: Yildiz 2022, Accelerated semi-supervised medical image
segmentation; Chaitanya et al. 2020, Contrastive learning of global and local features.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vpbsd.losses.contrast import NEVER, similarities
from vpbsd.losses.weighting import weighted_mean


def slab_places(count: int, slabs: int, volumes: int, stream: torch.Generator) -> Tensor:
    """Draws one slice per slab and volume, (M, P) of whole numbers below `count`.

    Args:
        count: Slices along the axis, at least as many as slabs.
        slabs: P, which share the axis as evenly as whole slices allow.
        volumes: M.
        stream: On the CPU.
    """
    first = torch.arange(slabs + 1) * count // slabs
    draw = torch.rand(volumes, slabs, generator=stream)
    return first[:-1] + (draw * first.diff()).long()


def take_slices(volume: Tensor, valid: Tensor, axis: int, places: Tensor) -> tuple[Tensor, Tensor]:
    """Cuts slices out of volumes and flattens them; padding is zero in them.

    Args:
        volume: (M, C, D, H, W).
        valid: (M, 1, D, H, W), above 0 where any of it is image.
        axis: 0, 1 or 2, of D, H, W.
        places: (M, P), which slices.

    Returns:
        Slices (M, P, C * sides of a slice), and (M, P): 1 where a slice has image in it, else 0.
    """
    real = (valid > 0).to(volume.dtype)
    rows = torch.arange(len(volume), device=volume.device)[:, None]
    places = places.to(volume.device)
    flat, known = (x.movedim(2 + axis, 1).flatten(2)[rows, places] for x in (volume * real, real))
    return flat, known.amax(2)


def slice_similarities(slices: Tensor) -> Tensor:
    """Computes the cosines of all slices, (M, P, F) -> s (M, M, P, P), float32."""
    (m, p, _), flat = slices.shape, slices.flatten(0, 1)
    return similarities(flat, flat).view(m, p, m, p).transpose(1, 2)


def comparative_loss(s: Tensor, weight: Tensor) -> Tensor:
    """Computes the Bradley-Terry loss of slice triplets (S4 eq. 2), a mean over them.

    log(1 + exp(s(i_p, i_q) - s(i_p, j_p))) for volumes i != j and slabs p != q: slice p of i is to
    be more like that slab of another volume than like another slab of its own. The strength of
    an alternative is exp(s), as the printed eq. 1 must mean: a cosine may be negative.

    Args:
        s: (M, M, P, P) of `slice_similarities`.
        weight: (M, P), of each slice; a triplet weighs the product of its three.
    """
    own, across = _own(s), _across(s)
    margin = own[:, None] - across[..., None]
    pairs, slabs = _apart(s, 0), _apart(s, 2)
    keep = pairs[:, :, None, None] * slabs * _both(weight)[..., None] * weight[:, None, None]
    return weighted_mean(F.softplus(margin), keep)


def contrastive_loss(s: Tensor, weight: Tensor, tau: float) -> Tensor:
    """Computes the contrastive loss of slices (S4 eq. 3), a mean over pairs of similar ones.

    -log exp(s+) / (exp(s+) + sum over q != p of exp(s(i_p, i_q))), s+ = s(i_p, j_p), all over tau.

    Args:
        s: (M, M, P, P) of `slice_similarities`.
        weight: (M, P), of each slice; one without image is in no pair and no sum.
        tau: Temperature; 1 in the paper.
    """
    own, across = _own(s) / tau, _across(s) / tau
    others = (_apart(s, 2) * weight[:, None]) > 0
    rest = own.masked_fill(~others, NEVER)[:, None].expand(*across.shape, -1)
    every = torch.cat([across[..., None], rest], dim=3)
    keep = _apart(s, 0)[:, :, None] * _both(weight)
    return weighted_mean(every.logsumexp(3) - across, keep)


def slab_contrast(z: Tensor, slab: Tensor, weight: Tensor, tau: float) -> Tensor:
    """Computes Chaitanya's G^D: every two slices of one slab attract, other slabs repel.

    -log exp(s_ab) / (exp(s_ab) + sum over n of another slab exp(s_an)), s the cosine over tau; a
    mean over ordered pairs (a, b) of one slab, be it two volumes or two views of one.

    Args:
        z: (N, d), embedded slices of all volumes and views.
        slab: (N,), number of each one's slab.
        weight: (N,), 0 for a slice without image.
        tau: Temperature.
    """
    s = similarities(z, z) / tau
    same = slab[:, None] == slab[None]
    repel = s.masked_fill(same | (weight[None] == 0), NEVER).logsumexp(1)
    keep = same.float() * _apart(s, 0) * weight[:, None] * weight[None]
    return weighted_mean(torch.logaddexp(s, repel[:, None]) - s, keep)


def triplet_readings(s: Tensor, weight: Tensor) -> dict[str, float]:
    """Averages both similarities, and counts the triplets that are in order.

    Returns:
        ``s_similar``, ``s_dissimilar`` and ``triplets_right`` (share with s+ > s-).
    """
    with torch.no_grad():
        own, across = _own(s), _across(s)
        pairs = _apart(s, 0)[:, :, None] * _both(weight)
        slabs = _apart(s, 2) * weight[:, :, None] * weight[:, None]
        right = (across[..., None] > own[:, None]).float()
        return {
            "s_similar": float(weighted_mean(across, pairs)),
            "s_dissimilar": float(weighted_mean(own, slabs)),
            "triplets_right": float(weighted_mean(right, pairs[..., None] * slabs[:, None])),
        }


def _own(s: Tensor) -> Tensor:
    """Picks s(i_p, i_q), (M, P, P)."""
    return s.diagonal(dim1=0, dim2=1).movedim(2, 0)


def _across(s: Tensor) -> Tensor:
    """Picks s(i_p, j_p), (M, M, P)."""
    return s.diagonal(dim1=2, dim2=3)


def _both(weight: Tensor) -> Tensor:
    """Weighs pairs of volumes slab by slab, (M, P) -> (M, M, P)."""
    return weight[:, None] * weight[None]


def _apart(s: Tensor, axis: int) -> Tensor:
    """Makes a square of ones with a diagonal of zeros, as large as an axis of s."""
    return 1 - torch.eye(s.shape[axis], device=s.device)
