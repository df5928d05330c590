"""Is the codebook alive? Argmin usage, bypass gap, code drift, and pictures of them.

A run is void when its codes collapse or when the decoder can do without them: what a student
would learn from such codes means nothing (methods of VpbSD, decision on void runs in the README).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from vpbsd.data.augment import turned
from vpbsd.data.lattice import PatchSet
from vpbsd.data.turns import FLIPS, Turn
from vpbsd.evaluation.exemplars import Exemplars
from vpbsd.evaluation.pictures import Picture, code_usage, reconstructions
from vpbsd.losses.codebook import squared_error
from vpbsd.losses.segmentation import shrunk
from vpbsd.losses.weighting import token_share, weighted_mean
from vpbsd.networks.alignment import ChannelSelection
from vpbsd.networks.code_usage import histogram, perplexity, usage
from vpbsd.networks.quantiser import PatternQuantiser
from vpbsd.networks.swin_unetr import SKIPS, SwinTeacher
from vpbsd.random_streams import permutation

TOKENS_PER_CODE = 50
GAP_PATCHES = 16


@dataclass
class StageSummary:
    """What a stage ends with beside its weights.

    Attributes:
        numbers: Name -> value; all finite.
        void: Why the run does not count, or None.
        pictures: Name -> picture (height, width, 3).
    """

    numbers: dict[str, float] = field(default_factory=dict)
    void: str | None = None
    pictures: dict[str, Picture] = field(default_factory=dict)


@torch.no_grad()
def settle_codebook(teacher: SwinTeacher, patches: PatchSet) -> None:
    """Fixes what tokens are standardised by, from all patches as the trained encoder sees them."""
    teacher.eval()
    quantiser = _quantiser(teacher)
    every = _images(patches, list(range(len(patches))), teacher)
    quantiser.codebook.settle(torch.cat([quantiser.dn(_coded(teacher, x)) for x, _ in every]))


@torch.no_grad()
def start_codebook(teacher: SwinTeacher, patches: PatchSet, seed: int) -> StageSummary:
    """Gives a finished teacher the codebook that no pre-training made, and examines it.

    The alignment stays as it was drawn (channels are selected by variance); codes are the k-means
    centres of the tokens of all patches and their flips. The decoder knows nothing of them, so
    that there is no bypass to measure.
    """
    teacher.eval()
    quantiser = _quantiser(teacher)
    if isinstance(quantiser.dn, ChannelSelection):
        every = _images(patches, list(range(len(patches))), teacher)
        states = torch.cat([_coded(teacher, x) for x, _ in every])
        quantiser.dn.select(states.float().var((0, 2, 3, 4)))
    settle_codebook(teacher, patches)
    order = list(range(len(patches)))
    pairs = [
        (quantiser.align(_coded(teacher, x)), share)
        for turn in FLIPS
        for x, share in _images(patches, order, teacher, turn)
    ]
    tokens, shares = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    quantiser.codebook.start(tokens, shares, seed)
    return examine_usage(teacher, patches)


@torch.no_grad()
def examine_codebook(
    teacher: SwinTeacher, patches: PatchSet, scale: int = 1, *, skips: bool = True
) -> StageSummary:
    """Measures and judges the codebook of a pre-trained teacher.

    As `examine_usage`, and the bypass gap: the MSE with codes shuffled between samples less the
    MSE with the right codes, all skips zeroed.

    Args:
        teacher: With a settled codebook; put in eval mode.
        patches: What it was pre-trained on.
        scale: 1 or 2: the image's side over that of what the teacher rebuilds.
        skips: Whether a picture shows what skips add.

    Returns:
        ``perplexity``, ``code_usage``, ``quant_mse``, ``tokens_examined``, ``mse_codes``,
        ``mse_shuffled_codes`` and ``bypass_gap``; void as `verdict` has it.
    """
    summary = examine_usage(teacher, patches)
    right, shuffled, picture = _gap(teacher, patches, scale, skips)
    summary.numbers |= {
        "mse_codes": right,
        "mse_shuffled_codes": shuffled,
        "bypass_gap": shuffled - right,
    }
    summary.pictures["reconstructions"] = picture
    summary.void = verdict(summary.numbers, len(_quantiser(teacher).codebook.vectors))
    return summary


@torch.no_grad()
def examine_usage(teacher: SwinTeacher, patches: PatchSet) -> StageSummary:
    """Measures argmin perplexity, usage and distance of codes, and whether they collapsed.

    Over at least 50 tokens per code word, or all that the patches and their flips give.

    Returns:
        ``perplexity`` (1 to N), ``code_usage`` (0 to 1), ``quant_mse`` and ``tokens_examined``;
        void as `collapse` has it.
    """
    teacher.eval()
    counts, quant_mse, exemplars = _usage(teacher, patches)
    numbers = {
        "perplexity": perplexity(counts),
        "code_usage": usage(counts),
        "quant_mse": quant_mse,
        "tokens_examined": float(counts.sum()),
    }
    title = f"argmin perplexity {numbers['perplexity']:.1f} of {len(counts)}"
    used = counts.cpu().numpy()
    shown = {"code_usage": code_usage(used, title), "code_patches": exemplars.picture(used)}
    return StageSummary(numbers, collapse(numbers, len(counts)), shown)


def collapse(numbers: dict[str, float], size: int) -> str | None:
    """Says why too few of this many codes are in use, or None if enough are.

    Args:
        numbers: With the argmin ``perplexity``.
        size: N; max(2, N / 10) codes must be in effective use.

    >>> collapse({"perplexity": 12.0}, 16)
    >>> collapse({"perplexity": 1.5}, 16)
    'codebook collapsed: argmin perplexity 1.5 of 16 codes, at least 2.0 needed'
    """
    least = max(2.0, 0.1 * size)
    if numbers["perplexity"] >= least:
        return None
    return (
        f"codebook collapsed: argmin perplexity {numbers['perplexity']:.1f} of {size} codes, "
        f"at least {least:.1f} needed"
    )


def verdict(numbers: dict[str, float], size: int) -> str | None:
    """Says why a codebook of this size makes a run void, or None if it does not.

    It does if it has collapsed, or if shuffled codes raise the reconstruction's error by less
    than a tenth: then the decoder does without them.

    >>> verdict({"perplexity": 9.0, "mse_shuffled_codes": 0.02, "bypass_gap": 0.001}, 16)
    'codebook bypassed: shuffled codes raise the error by 0.0010, at least 0.0020 needed'
    """
    if collapsed := collapse(numbers, size):
        return collapsed
    needed = 0.1 * numbers["mse_shuffled_codes"]
    if numbers["bypass_gap"] < needed:
        return (
            f"codebook bypassed: shuffled codes raise the error by {numbers['bypass_gap']:.4f}, "
            f"at least {needed:.4f} needed"
        )
    return None


@torch.no_grad()
def code_drift(before: SwinTeacher, after: SwinTeacher, patches: PatchSet) -> dict[str, float]:
    """Measures the share of tokens whose nearest code changed between two stages of a teacher.

    Returns:
        ``code_drift`` in [0, 1]; padding counts for nothing.
    """
    changed = weight = 0.0
    before.eval()
    after.eval()
    for x, share in _images(patches, list(range(len(patches))), before):
        a, b = (_quantiser(net)(_coded(net, x))[1].nearest for net in (before, after))
        changed += float(((a != b) * share).sum())
        weight += float(share.sum())
    return {"code_drift": changed / max(weight, 1e-8)}


def _usage(teacher: SwinTeacher, patches: PatchSet) -> tuple[Tensor, float, Exemplars]:
    """Counts codes (N,) by argmin; averages tokens' squared distance; gathers exemplars."""
    quantiser = _quantiser(teacher)
    size = len(quantiser.codebook.vectors)
    counts = torch.zeros(size, dtype=torch.float64)
    # as many patches where cells are finer: tokens of one patch are alike
    enough = TOKENS_PER_CODE * size * (32 // teacher.cell) ** 3
    error, exemplars = 0.0, Exemplars(teacher.cell)
    order = permutation(0, "examined", 0, len(patches)).tolist()
    for turn in FLIPS:
        for i, (x, share) in zip(order, _images(patches, order, teacher, turn), strict=True):
            record = quantiser(_coded(teacher, x))[1]
            counts += histogram(record.nearest, size, share).cpu()
            error += float(squared_error(record.tokens, record.chosen, share)) * float(share.sum())
            if turn == FLIPS[0]:
                exemplars.add(x, share, record, patches.cells[i])
            if counts.sum() >= enough:
                return counts, error / float(counts.sum()), exemplars
    return counts, error / max(float(counts.sum()), 1e-8), exemplars


def _gap(
    teacher: SwinTeacher, patches: PatchSet, scale: int, skips: bool
) -> tuple[float, float, Picture]:
    """Measures the MSE with the right and with shuffled codes, no skips; shows both."""
    order = permutation(0, "examined", 0, len(patches))[:GAP_PATCHES].tolist()
    x, valid = (
        torch.from_numpy(np.stack([read(i) for i in order]))[:, None].to(_device(teacher))
        for read in (patches.image, patches.valid)
    )
    codes = torch.cat([_quantiser(teacher)(_coded(teacher, one))[0] for one in torch.split(x, 1)])
    none, all_on = x.new_zeros(len(x), SKIPS), x.new_ones(len(x), SKIPS)
    # Skips off: through them the decoder would rebuild the image whatever the codes are.
    right = _rebuilt(teacher, x, codes, none, scale)
    shuffled = _rebuilt(teacher, x, codes.roll(1, 0), none, scale)
    shown = {"codes, no skips": right, "shuffled codes": shuffled}
    if skips:
        shown["codes and skips"] = _rebuilt(teacher, x[:4], codes[:4], all_on[:4], scale)
    plain = {name: image[:4, 0].float().cpu().numpy() for name, image in shown.items()}
    image, weight = shrunk(x, valid, scale)
    picture = reconstructions(image[:4, 0].cpu().numpy(), plain)
    errors = [float(weighted_mean((image - y).square(), weight)) for y in (right, shuffled)]
    return errors[0], errors[1], picture


def _rebuilt(teacher: SwinTeacher, x: Tensor, codes: Tensor, keep: Tensor, scale: int) -> Tensor:
    """Rebuilds one patch at a time, so that memory stays that of one."""
    parts = zip(*(torch.split(t, 1) for t in (x, codes, keep)), strict=True)
    return torch.cat([teacher.reconstruct(a, teacher.encode(a), c, k, scale) for a, c, k in parts])


def _images(
    patches: PatchSet, order: list[int], teacher: SwinTeacher, turn: Turn = FLIPS[0]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields single patches (1, 1, D, H, W) and the valid share (T,) of their tokens."""
    device = _device(teacher)
    for i in order:
        x, valid = (
            turned(torch.from_numpy(read(i))[None, None], turn).to(device)
            for read in (patches.image, patches.valid)
        )
        grid = [side // teacher.cell for side in x.shape[2:]]
        yield x, token_share(valid, grid).flatten()


def _coded(teacher: SwinTeacher, x: Tensor) -> Tensor:
    return teacher.coded_state(teacher.encode(x))


def _quantiser(teacher: SwinTeacher) -> PatternQuantiser:
    assert teacher.quantiser is not None, "only a teacher with a codebook is examined"
    return teacher.quantiser


def _device(teacher: SwinTeacher) -> torch.device:
    return next(teacher.parameters()).device
