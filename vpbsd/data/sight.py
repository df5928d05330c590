"""A volume as a network sees it: normalised by its tissue, whatever lies around that filled.

A network that was trained on tissue alone takes its edge for vessels. So it never sees one:
background shows the mirror image of the tissue beside it, and the median of all tissue farther
out (0 where intensities are too many to be counted).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vpbsd.config import Data
from vpbsd.data.intensity import Histogram, Table
from vpbsd.data.tissue import CELL, Bools, Tissue
from vpbsd.data.tissue_scale import count, scale_of
from vpbsd.data.volumes import CHUNK, Shape, Slices

NEAR = 5
"""Side of the box in which most voxels look like background about one that is."""
MOST = 0.8
FADE = 24
"""Voxels into background that mirror the tissue beside them."""
MARGIN = NEAR // 2 * 2 + 2 * FADE
"""Voxels around a box on which what is seen within it depends."""
SAMPLE = 256
"""Chunks of 64^3 voxels, spread evenly, that represent a volume's tissue."""


class Image(Protocol):
    """Raw intensities, and what is known of all of them."""

    @property
    def shape(self) -> Shape:
        """Voxels along z, y, x."""

    @property
    def intensity(self) -> Histogram | Table:
        """Of all voxels."""

    def image_block(self, slices: Slices) -> NDArray[Any]:
        """Reads a block."""


class Sight:
    """A volume as a network sees it.

    Args:
        image: The volume.
        tissue: Its tissue, some.
        data: How the network was trained to see.
        name: Of the volume, for messages.

    Attributes:
        level: What background is filled with far from tissue.

    Raises:
        BadInput: The tissue cannot be normalised so.
    """

    def __init__(self, image: Image, tissue: Tissue, data: Data, name: str) -> None:
        self._image, self._tissue = image, tissue
        stored = image.intensity if tissue.whole else count(list(self._sample()))
        self._scale = scale_of(stored, data, name)
        middle = np.array([[[stored.percentile(50)]]]) if isinstance(stored, Histogram) else None
        self.level = 0.0 if middle is None else float(self._scale(middle).item())

    def read(self, box: Slices) -> NDArray[np.float32]:
        """Reads what a network sees in a box of the volume."""
        if self._tissue.covers(box):
            return self._scale(self._image.image_block(box))
        wide, inside = self._widened(box)
        raw = self._image.image_block(wide)
        return self._filled(self._scale(raw), self._background(raw, wide))[inside]

    def background(self, box: Slices) -> Bools | None:
        """Marks the voxels of background in a box; None where there are none."""
        if self._tissue.covers(box):
            return None
        wide, inside = self._widened(box)
        return self._background(self._image.image_block(wide), wide)[inside]

    def _background(self, raw: NDArray[Any], box: Slices) -> Bools:
        from scipy.ndimage import maximum_filter, uniform_filter  # slow to load

        tissue = self._tissue
        like = np.zeros(raw.shape, bool)
        for low, high in tissue.looks:
            like |= (raw >= low) & (raw <= high)
        surely = uniform_filter(like.astype(np.float32), NEAR, mode="nearest") > MOST
        near = maximum_filter(surely, NEAR, mode="nearest") & ~tissue.in_box(box, tissue.inner)
        return np.asarray(~tissue.in_box(box) | (like & near))

    def _filled(self, image: NDArray[np.float32], background: Bools) -> NDArray[np.float32]:
        from scipy.ndimage import distance_transform_edt  # slow to load

        # Of each voxel, the nearest one of tissue; as far behind it lies what is mirrored.
        far, nearest = distance_transform_edt(background, return_indices=True)
        here = np.indices(image.shape, np.int32)
        sides = np.array(image.shape).reshape(3, 1, 1, 1) - 1
        behind = np.clip(2 * nearest - here, 0, sides)
        beside = image[tuple(np.where(background[tuple(behind)], nearest, behind))]
        filled = np.where(far <= FADE, beside, np.float32(self.level))
        return np.where(background, filled, image)

    def _sample(self) -> Iterator[NDArray[Any]]:
        """Yields the raw intensities of the tissue in some chunks."""
        chunks = np.unique(np.argwhere(self._tissue.cells) // (CHUNK // CELL), axis=0)
        for chunk in chunks[:: -(-len(chunks) // SAMPLE)]:
            z, y, x = (
                slice(i * CHUNK, min((i + 1) * CHUNK, n))
                for i, n in zip(chunk.tolist(), self._image.shape, strict=True)
            )
            raw, background = self._image.image_block((z, y, x)), self.background((z, y, x))
            yield raw.ravel() if background is None else raw[~background]

    def _widened(self, box: Slices) -> tuple[Slices, Slices]:
        z, y, x = (
            slice(max(b.start - MARGIN, 0), min(b.stop + MARGIN, n))
            for b, n in zip(box, self._image.shape, strict=True)
        )
        a, b, c = (
            slice(b.start - w.start, b.stop - w.start) for b, w in zip(box, (z, y, x), strict=True)
        )
        return (z, y, x), (a, b, c)
