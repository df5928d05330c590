"""predict(): a network over a volume of any size, block by block, in bounded memory.

Overlapping windows are blended with a Gaussian. Windows lie on one lattice for the whole volume
and are added up in one order, so the answer does not depend on the blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import product
from typing import Any

import numpy as np
import torch
from monai.data.utils import compute_importance_map
from numpy.typing import NDArray
from torch import nn

from vpbsd.config import Data, Grid, Precision
from vpbsd.data.boxes import blocks
from vpbsd.data.folds import Part
from vpbsd.data.lattice import padded
from vpbsd.data.volumes import open_volume
from vpbsd.losses.segmentation import vessel_probability

BATCH = 4
"""Windows that go through a network together where they are blended."""
Slices = tuple[slice, slice, slice]
Read = Callable[[Slices], NDArray[np.float32]]


def window_starts(n: int, patch: int, stride: int | None = None) -> list[int]:
    """Lists first voxels of windows along an axis, half overlapping or a stride apart.

    The last one ends at the border.

    >>> window_starts(150, 64), window_starts(88, 80, 4)
    ([0, 32, 64, 86], [0, 4, 8])
    """
    if n <= patch:
        return [0]
    return [*range(0, n - patch, stride or patch // 2), n - patch]


def predict(
    network: nn.Module,
    read: Read,
    shape: Grid,
    patch: Grid,
    precision: Precision = "fp32",
    side: int = 256,
    stride: Grid | None = None,
) -> Iterator[tuple[Slices, NDArray[np.float32]]]:
    """Predicts the foreground probability of a volume, one block after the other.

    Args:
        network: Answers with a `SegOutput`; put in eval mode.
        read: Gives the normalised image (z, y, x) of a box of the volume.
        shape: The volume's.
        patch: The window.
        precision: bf16 runs the network under autocast.
        side: Voxels per axis of a block; any value gives the same answer.
        stride: See `predict_block`.

    Yields:
        (where, probability in [0, 1] of that shape)
    """
    network.eval()
    for block in blocks(shape, side):
        yield block, predict_block(network, read, shape, patch, block, precision, stride=stride)


@torch.no_grad()
def predict_block(  # noqa: PLR0913 (where, and how its windows lie)
    network: nn.Module,
    read: Read,
    shape: Grid,
    patch: Grid,
    block: Slices,
    precision: Precision = "fp32",
    batch: int = BATCH,
    stride: Grid | None = None,
) -> NDArray[np.float32]:
    """Predicts the foreground probability of one block from every window that touches it, blended.

    Args:
        network: In eval mode.
        read: Gives the normalised image of a box of the volume.
        shape: The volume's.
        patch: The window.
        block: Where.
        precision: bf16 runs the network under autocast.
        batch: Windows that go through it together; 1 and more differ in last bits, as torch
            computes their convolutions in another, slower way.
        stride: From one window to the next, all with equal weight; None: half a patch, blended
            with a Gaussian.

    Returns:
        float32 in [0, 1], of the block's shape; where there are K > 1 foreground classes, a
        channel for each comes first.
    """
    device = next(network.parameters()).device
    mode = "gaussian" if stride is None else "constant"
    importance = compute_importance_map(patch, mode=mode, sigma_scale=0.125).numpy()
    size = tuple(b.stop - b.start for b in block)
    total, weight = np.zeros((1, *size), np.float32), np.zeros(size, np.float32)
    autocast: Any = torch.autocast(device.type, torch.bfloat16)
    windows = list(_windows_touching(block, shape, patch, stride))
    for first in range(0, len(windows), batch):
        some = windows[first : first + batch]
        images = [padded(read(window), patch) for window in some]
        if len(images) < min(2, batch):  # the last one alone: its bits are those of any other
            images *= 2
        x = torch.from_numpy(np.stack(images))[:, None].to(device)
        with autocast if precision == "bf16" else nullcontext():
            logits = network(x).logits
        found = vessel_probability(logits).float().cpu().numpy()
        if len(total) < found.shape[1]:
            total = np.zeros((found.shape[1], *size), np.float32)
        for window, probability in zip(some, found, strict=False):
            here, there = _overlap(window, block)
            # One order of windows for every block: sums of floats must not depend on the block.
            total[:, *there] += importance[here] * probability[:, *here]
            weight[there] += importance[here]
    blended = (total / weight).astype(np.float32, copy=False)
    return blended[0] if len(blended) == 1 else blended


def predict_part(
    network: nn.Module,
    part: Part,
    data: Data,
    precision: Precision,
    stride: Grid | None = None,
) -> NDArray[np.float32]:
    """Predicts a part in one block, no window twice; see `predict_block`."""
    side, read = max(part.shape), reader(part, data)
    ((_, probability),) = predict(network, read, part.shape, data.patch, precision, side, stride)
    return probability


def reader(part: Part, data: Data) -> Read:
    """Reads a part, and makes a function of its normalised image, in the part's own coordinates.

    Windows overlap: what each reads from the volume is decoded up to eight times.

    Args:
        part: A part of a volume on this node; kept in its stored type.
        data: How the network was trained to see.
    """
    volume = open_volume(part.volume)
    scale, raw = volume.scale(data), volume.image_block(part.slices)
    return lambda box: scale(raw[box])


def _windows_touching(
    block: Slices, shape: Grid, patch: Grid, stride: Grid | None
) -> Iterator[Slices]:
    every = map(window_starts, shape, patch, stride or (None, None, None))
    touching = [
        [slice(s, min(s + p, n)) for s in starts if s < b.stop and s + p > b.start]
        for b, n, p, starts in zip(block, shape, patch, every, strict=True)
    ]
    yield from ((z, y, x) for z, y, x in product(*touching))


def _overlap(window: tuple[slice, ...], block: Slices) -> tuple[Any, Any]:
    """Finds where the two meet: in the window's coordinates, and in the block's."""
    meet = [
        (max(w.start, b.start), min(w.stop, b.stop)) for w, b in zip(window, block, strict=True)
    ]
    here = tuple(slice(a - w.start, c - w.start) for (a, c), w in zip(meet, window, strict=True))
    there = tuple(slice(a - b.start, c - b.start) for (a, c), b in zip(meet, block, strict=True))
    return here, there
