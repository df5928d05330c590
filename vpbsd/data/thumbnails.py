"""One picture of a data set: the brightest voxels of each volume's middle, its label drawn in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vpbsd.data.volumes import CHUNK, VolumeInfo, open_volume

SIDE = 512  # voxels of the middle that are read of a volume, along y and x
COLUMNS = 4
MOST = 64
"""Volumes of one picture; more would be too small to see."""
LABEL_COLOUR = "#E69F00"  # orange of Okabe and Ito, told apart by all


def draw_thumbnails(volumes: Sequence[VolumeInfo], file: Path) -> None:
    """Draws the middle of each volume: maximum along z of at most 64 planes of 512 x 512 voxels.

    Args:
        volumes: The data set; the first `MOST` are drawn.
        file: PNG that is written; its folder is made.
    """
    shown = volumes[:MOST]
    rows = -(-len(shown) // COLUMNS)
    figure = Figure(figsize=(3 * COLUMNS, 3.3 * rows), layout="constrained")
    axes: Any = figure.subplots(rows, COLUMNS, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for info, axis in zip(shown, axes.flat, strict=False):
        image, label = _middle(info)
        low, high = np.percentile(image, (1, 99.8))
        y, x = (info.spacing_um or (1.0, 1.0, 1.0))[1:]
        axis.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-9), aspect=y / x)
        if label is not None and label.any():
            axis.contour(label, levels=[0.5], colors=LABEL_COLOUR, linewidths=0.6)
        axis.set_title(f"{_short(info.name)}\n{_short(info.group)}", fontsize=8, parse_math=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)


def _middle(info: VolumeInfo) -> tuple[NDArray[Any], Any]:
    """Reads the middle of a volume and its label, both as maxima along z."""
    volume = open_volume(info)
    spans = [_centred(n, most) for n, most in zip(info.shape, (CHUNK, SIDE, SIDE), strict=True)]
    block = (spans[0], spans[1], spans[2])
    image = volume.image_block(block).max(0)
    return image, (volume.label_block(block) > 0).any(0) if info.labelled else None


def _centred(length: int, most: int) -> slice:
    start = max(0, (length - most) // 2)
    return slice(start, min(length, start + most))


def _short(text: str) -> str:
    return text if len(text) <= 36 else f"{text[:20]}...{text[-12:]}"
