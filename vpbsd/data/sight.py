"""A volume as a network sees it: normalised by its tissue, whatever lies around that filled.

A network that was trained on tissue alone takes its edge for vessels. So it never sees one:
background shows the mirror image of the tissue beside it, and the median of all tissue farther
out (0 where intensities are too many to be counted).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vpbsd.config import Data
from vpbsd.data.intensity import Histogram, Table
from vpbsd.data.normalisation import Local
from vpbsd.data.tissue import CELL, Bools, Tissue
from vpbsd.data.tissue_scale import count, scale_of
from vpbsd.data.volumes import CHUNK, Shape, Slices

NEAR = 5
"""Side of the box in which most voxels look like background about one that is."""
MOST = 0.8
FADE = 24
"""Voxels into background that mirror the tissue beside them."""
BESIDE = NEAR // 2 * 2
"""Voxels around a box on which it depends what of it is background."""
MARGIN = BESIDE + 2 * FADE
"""Voxels around a box on which it depends what is seen within it."""
PART = 128
"""Side of what is filled at once: 350 MB are needed for it."""
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
        image = np.empty([b.stop - b.start for b in box], np.float32)
        whole = isinstance(self._scale, Local)  # which compares a voxel with all of the box
        for part, place in [(box, ...)] if whole else _parts(box):
            image[place] = self._part(part)
        return image

    def background(self, box: Slices) -> Bools | None:
        """Marks the voxels of background in a box; None where there are none."""
        if self._tissue.covers(box):
            return None
        found = np.zeros([b.stop - b.start for b in box], bool)
        for part, place in _parts(box):
            if not self._tissue.covers(part):
                wide, inside = self._widened(part, BESIDE)
                found[place] = self._background(self._image.image_block(wide), wide)[inside]
        return found

    def _part(self, box: Slices) -> NDArray[np.float32]:
        if self._tissue.covers(box):
            return self._scale(self._image.image_block(box))
        if not self._tissue.touches(self._widened(box, FADE)[0]):
            return np.full([b.stop - b.start for b in box], self.level, np.float32)
        wide, inside = self._widened(box, MARGIN)
        raw = self._image.image_block(wide)
        background = self._background(raw, wide)
        if not background[inside].any():
            return self._scale(raw)[inside]
        return self._filled(self._scale(raw), background, inside)

    def _background(self, raw: NDArray[Any], box: Slices) -> Bools:
        from scipy.ndimage import maximum_filter, uniform_filter  # slow to load

        tissue = self._tissue
        like = np.zeros(raw.shape, bool)
        for low, high in tissue.looks:
            like |= (raw >= low) & (raw <= high)
        surely = uniform_filter(like.astype(np.float32), NEAR, mode="nearest") > MOST
        near = maximum_filter(surely, NEAR, mode="nearest") & ~tissue.in_box(box, tissue.inner)
        return np.asarray(~tissue.in_box(box) | (like & near))

    def _filled(
        self, image: NDArray[np.float32], background: Bools, inside: Slices
    ) -> NDArray[np.float32]:
        """Fills the background of a box within an image, some of which lies around it."""
        from scipy.ndimage import distance_transform_edt  # slow to load

        near, within = _grown(inside, FADE, image.shape)
        if background[near].all():
            return np.full(image[inside].shape, self.level, np.float32)
        # Of each voxel, the nearest one of tissue; as far behind it lies what is mirrored.
        far, nearest = distance_transform_edt(background[near], return_indices=True)
        far, nearest = far[within], nearest[:, *within]
        firsts = np.array([b.start for b in near], np.int32).reshape(3, 1, 1, 1)
        starts = np.array([b.start for b in inside], np.int32).reshape(3, 1, 1, 1)
        nearest = nearest + firsts
        here = np.indices(far.shape, np.int32) + starts
        sides = np.array(image.shape).reshape(3, 1, 1, 1) - 1
        behind = np.clip(2 * nearest - here, 0, sides)
        beside = image[tuple(np.where(background[tuple(behind)], nearest, behind))]
        filled = np.where(far <= FADE, beside, np.float32(self.level))
        return np.where(background[inside], filled, image[inside])

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

    def _widened(self, box: Slices, by: int) -> tuple[Slices, Slices]:
        return _grown(box, by, self._image.shape)


def _grown(box: Slices, by: int, shape: tuple[int, ...]) -> tuple[Slices, Slices]:
    """Grows a box within some limits, and finds it in what it became."""
    z, y, x = (
        slice(max(b.start - by, 0), min(b.stop + by, n)) for b, n in zip(box, shape, strict=True)
    )
    i, j, k = (
        slice(b.start - w.start, b.stop - w.start) for b, w in zip(box, (z, y, x), strict=True)
    )
    return (z, y, x), (i, j, k)


def _parts(box: Slices) -> Iterator[tuple[Slices, Slices]]:
    """Cuts a box in parts that need little memory: each in the volume, and in the box."""
    starts = (range(0, b.stop - b.start, PART) for b in box)
    for place in product(*starts):
        z, y, x = (
            slice(b.start + i, min(b.start + i + PART, b.stop))
            for b, i in zip(box, place, strict=True)
        )
        i, j, k = (
            slice(p.start - b.start, p.stop - b.start) for p, b in zip((z, y, x), box, strict=True)
        )
        yield (z, y, x), (i, j, k)
