"""What a code word looks like: the pieces of images whose tokens lie nearest to it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vpbsd.data.lattice import Cell
from vpbsd.evaluation.pictures import Picture, code_patches
from vpbsd.networks.codebook import Quantised

MOST = 4
SHOWN = 32
REAL = 0.5  # share of a piece that must be image, not mirrored padding


class Exemplar(NamedTuple):
    """A piece of an image, and how far its token is from its code.

    Attributes:
        distance: Squared, between the standardised token and its code.
        projection: (32, 32) in [0, 1], maximum along z; the cell in its middle where cells are
            finer, with what surrounds it.
        part: Number of the part it was cut from.
        start: First voxel (z, y, x) of its cell there.
    """

    distance: float
    projection: NDArray[np.float32]
    part: int
    start: tuple[int, int, int]


class Exemplars:
    """For every code the few pieces nearest to it, of those that have it as their nearest code.

    No two of a code show the same voxels, as pieces of patches that overlap would.

    Args:
        cell: Side in voxels of what a code stands for.
    """

    def __init__(self, cell: int = SHOWN) -> None:
        self.cell = cell
        self.of_code: dict[int, list[Exemplar]] = {}

    def add(self, x: Tensor, share: Tensor, record: Quantised, place: Cell) -> None:
        """Looks at the tokens of one patch.

        Args:
            x: (1, 1, D, H, W), the patch, multiples of 32.
            share: (T,), how much of each token is image.
            record: What became of its tokens, in the order z, y, x.
            place: Where the patch was cut.
        """
        around = (SHOWN - self.cell) // 2
        planes = F.pad(x[0], [around] * 4, mode="reflect")[0].float()
        cells = planes.unfold(0, self.cell, self.cell).amax(-1)
        for axis in (1, 2):
            cells = cells.unfold(axis, SHOWN, self.cell)
        projections = cells.flatten(0, 2).cpu().numpy()
        distances = (record.tokens - record.chosen).square().sum(1).tolist()
        codes = record.indices.tolist()
        grid = np.indices([side // self.cell for side in x.shape[2:]]).reshape(3, -1).T
        starts = (np.array(place.start) + self.cell * grid).tolist()
        for i, real in enumerate(share.tolist()):
            if real >= REAL:
                new = Exemplar(distances[i], projections[i], place.part, tuple(starts[i]))
                kept = self.of_code.setdefault(codes[i], [])
                kept[:] = self._apart(sorted([*kept, new], key=lambda e: e.distance))[:MOST]

    def _apart(self, found: list[Exemplar]) -> list[Exemplar]:
        """Leaves out what shares voxels with a nearer one."""
        kept: list[Exemplar] = []
        for one in found:
            if not any(self._overlap(one, other) for other in kept):
                kept.append(one)
        return kept

    def _overlap(self, one: Exemplar, other: Exemplar) -> bool:
        apart = (abs(a - b) for a, b in zip(one.start, other.start, strict=True))
        shown = (self.cell, SHOWN, SHOWN)
        near = all(d < side for d, side in zip(apart, shown, strict=True))
        return one.part == other.part and near

    def picture(self, counts: NDArray[np.float64]) -> Picture:
        """Draws all codes by how often they are used; those that nothing uses are named.

        Args:
            counts: (N,), how often each code is the nearest one.
        """
        pieces = {c: [e.projection for e in kept] for c, kept in self.of_code.items()}
        return code_patches(pieces, counts, MOST)
