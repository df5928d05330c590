"""Reads a volume chunk by chunk, each once while near; what is lost or damaged is an error."""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpbsd.data.intensity import Histogram, Table
from vpbsd.data.tissue import CELL
from vpbsd.data.volumes import Shape, Slices, Volume, VolumeInfo
from vpbsd.errors import BadInput

KEPT = 256 << 20  # bytes of chunks that are kept decoded

Index = tuple[int, int, int]


class ChunkReader:
    """A volume whose chunks are decoded once while they are among the last that were read.

    Args:
        volume: What is read.

    Attributes:
        decoded: How many chunks were decoded so far.
    """

    def __init__(self, volume: Volume) -> None:
        self._volume, self.decoded = volume, 0
        self._sides = volume.image.chunks
        most = max(1, KEPT // (prod(self._sides) * volume.image.dtype.itemsize))
        self._chunk = lru_cache(most)(self._decode)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels to another process as the volume that it reads."""
        return _opened, (self._volume.info,)

    @property
    def shape(self) -> Shape:
        """Voxels along z, y, x."""
        return self._volume.shape

    @property
    def intensity(self) -> Histogram | Table:
        """Of all voxels."""
        return self._volume.intensity

    def image_block(self, slices: Slices) -> NDArray[Any]:
        """Reads raw intensities of a block (z, y, x).

        Raises:
            BadInput: A chunk is lost or damaged; its file is named.
        """
        block = np.empty([s.stop - s.start for s in slices], self._volume.image.dtype)
        ranges = [
            range(s.start // c, -(-s.stop // c)) for s, c in zip(slices, self._sides, strict=True)
        ]
        for z, y, x in product(*ranges):
            chunk = self._chunk((z, y, x))
            here, there = [], []
            for i, c, s, n in zip((z, y, x), self._sides, slices, chunk.shape, strict=True):
                first, last = max(i * c, s.start), min(i * c + n, s.stop)
                here.append(slice(first - i * c, last - i * c))
                there.append(slice(first - s.start, last - s.start))
            block[tuple(there)] = chunk[tuple(here)]
        return block

    def _decode(self, index: Index) -> NDArray[Any]:
        z, y, x = (
            slice(i * c, min((i + 1) * c, n))
            for i, c, n in zip(index, self._sides, self.shape, strict=True)
        )
        file = self._file(index)
        self.decoded += 1
        try:
            chunk = np.asarray(self._volume.image[z, y, x])
        except Exception as error:  # whatever a codec raises
            raise BadInput(
                f"{file} is damaged ({_line(error)}): import volume {self._volume.info.name} again"
            ) from error
        if not chunk.any() and not file.exists() and not self._may_be_zero(index, chunk.size):
            raise BadInput(f"{file} is lost: import volume {self._volume.info.name} again")
        return chunk

    def _file(self, index: Index) -> Path:
        """Gives the file of a chunk, or of the shard that holds it."""
        sides = self._volume.image.shards or self._sides
        names = [str(i * c // s) for i, c, s in zip(index, self._sides, sides, strict=True)]
        return Path(self._volume.info.path, "0", "c", *names)

    def _may_be_zero(self, index: Index, voxels: int) -> bool:
        """Tells whether a chunk was all zeros when it was imported: such chunks are not stored."""
        cells = self._volume.cells
        if cells is not None:
            z, y, x = (
                slice(i * c // CELL, -(-(i + 1) * c // CELL))
                for i, c in zip(index, self._sides, strict=True)
            )
            return not np.asarray(cells[:2, z, y, x]).any()  # the lowest and the highest
        stored = self.intensity
        if isinstance(stored, Table):
            return stored.percentile(0) <= 0 <= stored.percentile(100)
        return bool(stored.counts[stored.values == 0].sum() >= voxels)


def _opened(info: VolumeInfo) -> ChunkReader:
    return ChunkReader(Volume(info))


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
