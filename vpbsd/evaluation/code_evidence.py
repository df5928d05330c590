"""Do the code words of a fine-tuned teacher carry anything? Three checks on its training patches.

Before fine-tuning a codebook can look alive on brightness alone, and fine-tuning can teach the
decoder to do without it. So afterwards: do the codes of another patch change the mask; do codes
tell how much vessel lies in their cells; do they rebuild the image better than its cells' means?
Where one fails, an arm that learns these code words claims nothing by them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vpbsd.data.lattice import PatchSet
from vpbsd.evaluation.code_pictures import Swapped, code_shares, swapped_masks
from vpbsd.evaluation.code_statistics import dice, donors, held_out_r2
from vpbsd.evaluation.codebook_health import StageSummary
from vpbsd.losses.classes import decided
from vpbsd.losses.segmentation import shrunk, vessel_probability
from vpbsd.losses.weighting import token_share
from vpbsd.networks.swin_unetr import SKIPS, SwinTeacher
from vpbsd.random_streams import permutation

DONORS = 3  # other patches whose codes each patch is given
MOST_TOKEN_PATCHES, MOST_SWAPPED = 256, 32
REAL = 0.25  # share of a token's cell that must be image; less says little, as of thin stacks
SHOWN = 4


class Encoded(NamedTuple):
    """A patch (1, 1, D, H, W), its label and valid voxels, and what the teacher makes of it."""

    x: Tensor
    label: Tensor
    valid: Tensor
    hidden: tuple[Tensor, ...]
    codes: Tensor
    """For the decoder, (1, d_t, z, y, x)."""
    indices: Tensor
    """Of the codes of its tokens, (T,)."""

    @property
    def grid(self) -> tuple[int, ...]:
        """Tokens along z, y, x."""
        return tuple(self.codes.shape[2:])


class Tokens(NamedTuple):
    """Tokens of some patches, (T,) each: code, number of the patch, means of the valid cell."""

    codes: NDArray[np.int64]
    patches: NDArray[np.int64]
    vessel: NDArray[np.float64]
    brightness: NDArray[np.float64]


@torch.no_grad()
def examine_mask(teacher: SwinTeacher, patches: PatchSet) -> StageSummary:
    """Measures what becomes of masks when each patch is given the codes of another one.

    Returns:
        ``swapped_dice``: Dice of the masks with own and with others' codes over the valid voxels
        of all patches, a mean over up to three donors of codes, none of which overlaps with the
        patch; absent where there are none.
        ``training_dsc``: Dice of the mask with the labels that it was trained on: optimistic.
    """
    chosen = _chosen(patches, MOST_SWAPPED)
    codes = [one.codes.cpu() for one in _encoded(teacher, patches, chosen)]
    kin = overlapping(patches, chosen)
    others = donors(kin, DONORS)
    shared, sizes = np.zeros(len(others[0])), np.zeros((len(others[0]), 2))
    right, labelled = 0.0, np.zeros(2)
    shown: list[Swapped] = []
    for i, one in enumerate(_encoded(teacher, patches, chosen)):
        own, label = _mask(teacher, one, one.codes) & (one.valid > 0), one.label > 0
        right += _count(own & label)
        labelled += (_count(own), _count(label))
        for j, donor in enumerate(others[i]):
            other = _mask(teacher, one, codes[donor].to(one.x.device)) & (one.valid > 0)
            shared[j] += _count(own & other)
            sizes[j] += (_count(own), _count(other))
            if j == 0:
                arrays = (t[0, 0].cpu().numpy() for t in (one.x, own, other, label))
                shown.append(Swapped(*arrays))
    numbers = {"training_dsc": dice(right, labelled.tolist())}
    if not others[0]:
        return StageSummary(numbers)
    numbers["swapped_dice"] = float(
        np.mean([dice(*both) for both in zip(shared, sizes.tolist(), strict=True)])
    )
    most = sorted(range(len(shown)), key=lambda i: -int(shown[i].label.sum()))
    apart = [i for place, i in enumerate(most) if not kin[i, most[:place]].any()]
    picture = swapped_masks([shown[i] for i in apart[:SHOWN]], numbers["swapped_dice"])
    return StageSummary(numbers, None, {"swapped_codes": picture})


@torch.no_grad()
def examine_meaning(teacher: SwinTeacher, patches: PatchSet) -> StageSummary:
    """Measures how well a token's code tells what lies in its cell.

    Returns:
        ``r2_vessel_share`` and ``r2_brightness``, see `held_out_r2`; what is left out is the
        patch, whose tokens are alike, with those that overlap with it. Of a single patch it is
        the token. Nothing where no token is image enough.
    """
    tokens = read_tokens(teacher, patches)
    if not len(tokens.codes):
        return StageSummary()
    units, kin = tokens.patches, overlapping(patches, _chosen(patches, MOST_TOKEN_PATCHES))
    if kin.all():
        units, kin = np.arange(len(units)), np.eye(len(units), dtype=bool)
    numbers = {
        f"r2_{name}": held_out_r2(values, tokens.codes, units, kin)
        for name, values in (("vessel_share", tokens.vessel), ("brightness", tokens.brightness))
    }
    picture = code_shares(tokens.codes, tokens.vessel, tokens.patches, numbers)
    return StageSummary(numbers, None, {"code_vessel_share": picture})


@torch.no_grad()
def examine_reconstruction(
    pretrained: SwinTeacher, patches: PatchSet, scale: int
) -> dict[str, float]:
    """Measures the image rebuilt from codes alone against each cell painted with its mean.

    Args:
        pretrained: The teacher before fine-tuning: it alone has the head that rebuilds.
        patches: Whose valid voxels are compared.
        scale: 1 or 2: the image's side over that of what it rebuilds.

    Returns:
        ``mse_codes`` and ``mse_cell_mean``.
    """
    errors, weights = np.zeros(2), 0.0
    for one in _encoded(pretrained, patches, _chosen(patches, MOST_SWAPPED)):
        none = one.x.new_zeros(1, SKIPS)
        rebuilt = pretrained.reconstruct(one.x, one.hidden, one.codes, none, scale)
        image, weight = shrunk(one.x, one.valid, scale)
        means = F.interpolate(_cell_means(one.x, one), size=image.shape[2:], mode="nearest")
        for j, answer in enumerate((rebuilt.float(), means)):
            errors[j] += float((weight * (image - answer).square()).sum())
        weights += float(weight.sum())
    codes, mean = errors / max(weights, 1.0)
    return {"mse_codes": codes, "mse_cell_mean": mean}


def read_tokens(teacher: SwinTeacher, patches: PatchSet) -> Tokens:
    """Reads codes and cells of all tokens that are image at least by a quarter."""
    found: list[tuple[NDArray[np.generic], ...]] = []
    for i, one in enumerate(_encoded(teacher, patches, _chosen(patches, MOST_TOKEN_PATCHES))):
        real = token_share(one.valid, one.grid).flatten() >= REAL
        columns = (one.indices, _cell_means(one.label, one), _cell_means(one.x, one))
        codes, vessel, bright = (c.flatten()[real].cpu().numpy() for c in columns)
        found.append((codes, np.full(len(codes), i), vessel, bright))
    codes, numbers, vessel, bright = (np.concatenate(c) for c in zip(*found, strict=True))
    return Tokens(codes, numbers, vessel.astype(np.float64), bright.astype(np.float64))


def overlapping(patches: PatchSet, chosen: list[int]) -> NDArray[np.bool_]:
    """Finds which of some patches share voxels, (U, U); each does with itself."""
    starts = np.array([patches.cells[i].start for i in chosen])
    parts = np.array([patches.cells[i].part for i in chosen])
    near: NDArray[np.bool_] = np.abs(starts[:, None] - starts) < np.array(patches.data.patch)
    shared: NDArray[np.bool_] = near.all(-1) & (parts[:, None] == parts)
    return shared


def _encoded(teacher: SwinTeacher, patches: PatchSet, chosen: list[int]) -> Iterator[Encoded]:
    teacher.eval()
    assert teacher.quantiser is not None, "only a teacher with a codebook is examined"
    device = next(teacher.parameters()).device
    for i in chosen:
        marked = patches.label(i).sum(0)
        x, label, valid = (
            torch.from_numpy(values)[None, None].to(device)
            for values in (patches.image(i), marked, patches.valid(i))
        )
        patches.forget(i)
        hidden = teacher.encode(x)
        codes, record = teacher.quantiser(teacher.coded_state(hidden))
        yield Encoded(x, label, valid, hidden, codes, record.nearest)


def _mask(teacher: SwinTeacher, one: Encoded, codes: Tensor) -> Tensor:
    """Segments a patch with these codes, unless the teacher's decoder never sees any."""
    logits = teacher.decode(one.x, one.hidden, codes if teacher.decode_codes else None).logits
    return decided(vessel_probability(logits)).any(1, keepdim=True)  # any class but background


def _cell_means(values: Tensor, one: Encoded) -> Tensor:
    """Averages voxels (1, 1, D, H, W) over the valid ones of each token's cell, (1, 1, *grid)."""
    share = token_share(one.valid, one.grid)
    cell = [side // cells for side, cells in zip(values.shape[2:], one.grid, strict=True)]
    return F.avg_pool3d(values * one.valid, cell) / share.clamp_min(1e-8)


def _chosen(patches: PatchSet, most: int) -> list[int]:
    return [int(i) for i in permutation(0, "examined", 0, len(patches))[:most]]


def _count(mask: Tensor) -> float:
    return float(mask.sum())
