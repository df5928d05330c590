"""Where the tissue of a volume is: cells of 16^3 voxels that show more than noise.

White noise, whatever its level and gain, averages out: the means of its 4^3 boxes vary by a 64th
of what its voxels do. Tissue is smooth over such boxes, as a microscope blurs it, and its means
vary more. `structure` is that ratio, 1 for noise: its second differences along each axis are
taken, so that constants and gradients count for nothing. Medians over 3^3 cells: 1.3 to 14 on
generated vessels, .9 to 1.1 on camera noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vpbsd.data.volumes import CHUNK, Shape, Slices

CELL, BOX = 16, 4
LEAST_VARIANCE = 4.0
"""Of integers: steps of one grey value are no structure."""
STRONG, MEDIAN, TOGETHER = 3.0, 2.0, 4
"""Structure of a cell, and of the median of its neighbours, that is tissue; how many strong cells
among 27 are one."""
LEAST_PIECE = 8
"""Cells of a piece of background."""

Bools = NDArray[np.bool_]
Range = tuple[float, float]


class Cells(NamedTuple):
    """What is kept of each cell; float32, each of shape ceil(volume / 16).

    Attributes:
        lowest: The smallest intensity.
        highest: The largest.
        mean: Of all.
        structure: Variance of box means over what noise would leave of them; NaN in cells that the
            end of the volume cuts.
    """

    lowest: NDArray[np.float32]
    highest: NDArray[np.float32]
    mean: NDArray[np.float32]
    structure: NDArray[np.float32]


def measure_cells(block: NDArray[Any]) -> Cells:
    """Measures the cells of a block (z, y, x) that begins at a cell's first voxel.

    >>> noise = np.random.default_rng(0).normal(100, 5, (64, 64, 64)).astype(np.uint16)
    >>> round(float(np.median(measure_cells(noise).structure)), 1)
    1.0
    """
    x = np.pad(block, [(0, -n % CELL) for n in block.shape], mode="edge").astype(np.float32)
    lowest, highest = (_pooled(x, (CELL,) * 3, least.reduce) for least in (np.minimum, np.maximum))
    boxes = _means(x, (BOX,) * 3)
    mean = _means(boxes, (CELL // BOX,) * 3)
    steps = np.square(x[..., 1::2] - x[..., ::2])  # of neighbours: twice the noise's variance
    noise = _means(steps, (CELL, CELL, CELL // 2)) / 2
    least = LEAST_VARIANCE if block.dtype.kind in "ui" else 1e-10 * np.square(mean) + 1e-30
    structure = np.asarray(BOX**3 * _roughness(boxes) / np.maximum(noise, least), np.float32)
    for axis, n in enumerate(block.shape):
        structure[(*[slice(None)] * axis, slice(n // CELL, None))] = np.nan
    return Cells(lowest, highest, mean, structure)


def measure_volume(read: Callable[[Slices], NDArray[Any]], shape: Shape) -> Cells:
    """Measures the cells of a volume, a row of chunks at a time.

    Args:
        read: Gives the raw intensities of a box.
        shape: The volume's.
    """
    depth, height, width = shape
    rows = [
        [
            np.stack(measure_cells(read((_piece(z, depth), _piece(y, height), slice(0, width)))))
            for y in range(0, height, CHUNK)
        ]
        for z in range(0, depth, CHUNK)
    ]
    return Cells(*np.concatenate([np.concatenate(row, 2) for row in rows], 1))


def _piece(first: int, n: int) -> slice:
    return slice(first, min(first + CHUNK, n))


@dataclass(frozen=True)
class Tissue:
    """Which cells of a volume are tissue, and how the rest looks.

    Attributes:
        cells: True in tissue, (z, y, x) of cells.
        inner: True where neither a cell nor those beside it hold any background.
        looks: Intensities, from one to another, that background has: zeros, noise, saturation.
    """

    cells: Bools
    inner: Bools
    looks: tuple[Range, ...]

    @property
    def whole(self) -> bool:
        """Whether all of the volume is tissue."""
        return bool(self.inner.all())

    def in_box(self, box: Slices, cells: Bools | None = None) -> Bools:
        """Returns for each voxel of a box whether it is tissue, or in some other cells."""
        z, y, x = (np.arange(b.start, b.stop) // CELL for b in box)
        chosen = self.cells if cells is None else cells
        return chosen[z[:, None, None], y[:, None], x]

    def covers(self, box: Slices) -> bool:
        """Tells whether a box holds nothing but inner cells."""
        z, y, x = (slice(b.start // CELL, -(-b.stop // CELL)) for b in box)
        return bool(self.inner[z, y, x].all())

    def touches(self, box: Slices) -> bool:
        """Tells whether a box holds any tissue."""
        z, y, x = (slice(b.start // CELL, -(-b.stop // CELL)) for b in box)
        return bool(self.cells[z, y, x].any())


def find_tissue(cells: Cells, masses: Sequence[Range] = ()) -> Tissue:
    """Tells tissue from background by its structure.

    Tissue are cells of structure, with what lies among them, what they enclose, and what is as
    bright as they are (the inside of a large vessel); never a cell of one intensity, unless it is
    enclosed.

    Args:
        cells: What was measured of them.
        masses: Intensities, from one to another, of so many voxels that they are no tissue.
    """
    from scipy.ndimage import binary_dilation, binary_fill_holes, convolve, median_filter

    lowest, highest, mean, structure = cells
    structure = _continued(structure)
    varied = lowest < highest
    strong = (structure > STRONG) & varied
    together = convolve(strong.astype(np.uint8), np.ones((3, 3, 3), np.uint8)) >= TOGETHER
    among = median_filter(np.minimum(structure, 1e6), 3) > MEDIAN
    tissue = (strong & together) | (among & varied)
    if tissue.any():
        tissue |= varied & (mean > np.median(mean[tissue]))
        tissue = ~_sizeable(~binary_fill_holes(tissue))
    beside = binary_dilation(tissue, np.ones((3, 3, 3), bool))
    pure = ~beside if not beside.all() else ~tissue
    looks = [*masses, *((c, c) for c in np.unique(lowest[pure & ~varied]).tolist())]
    if (pure & varied).any():
        first = np.percentile(lowest[pure & varied], 1)
        last = np.percentile(highest[pure & varied], 99)
        looks.append((float(first), float(last)))
    within = np.zeros_like(tissue)
    for first, last in looks:
        within |= (lowest >= first) & (highest <= last)
    tissue |= beside & ~within  # of which the tissue holds a corner only
    held = ~tissue
    for first, last in looks:
        held |= (lowest <= last) & (highest >= first)
    inner = ~binary_dilation(held, np.ones((3, 3, 3), bool))
    return Tissue(tissue, inner, tuple(looks))


def _sizeable(background: Bools) -> Bools:
    """Keeps connected pieces of so many cells that they are no patch of tissue without vessels."""
    from scipy.ndimage import label

    pieces, _ = label(background)
    kept: Bools = (np.bincount(pieces.ravel()) >= LEAST_PIECE)[pieces] & background
    return kept


def _roughness(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Computes the variance of box means within cells from their second differences."""
    k = BOX
    z, y, x = (n // k for n in boxes.shape)
    parts = boxes.reshape(z, k, y, k, x, k)
    found = [np.square(np.diff(parts, 2, axis)).mean((1, 3, 5)) for axis in (1, 3, 5)]
    return np.asarray(sum(found) / 18, np.float32)  # 1 + 4 + 1, and three axes


def _continued(structure: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gives cut cells the structure of those before them; where there are none, much of it."""
    structure = structure.copy()
    for axis in range(3):
        last = np.moveaxis(structure, axis, 0)
        if len(last) > 1:
            np.copyto(last[-1], last[-2], where=np.isnan(last[-1]))
    return np.nan_to_num(structure, nan=np.inf, posinf=np.inf)


def _means(x: NDArray[np.float32], sides: tuple[int, ...]) -> NDArray[np.float32]:
    return _pooled(x, sides, np.add.reduce) / np.float32(np.prod(sides))


def _pooled(
    x: NDArray[np.float32], sides: tuple[int, ...], reduce: Callable[..., Any]
) -> NDArray[np.float32]:
    """Reduces boxes to a number each, the slowest axis first: whole rows at a time."""
    for axis, side in enumerate(sides):
        shape = (*x.shape[:axis], x.shape[axis] // side, side, *x.shape[axis + 1 :])
        x = reduce(x.reshape(shape), axis=axis + 1)
    return x
