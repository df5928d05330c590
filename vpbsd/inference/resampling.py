"""A volume at another voxel size, block by block, and its mask back on the grid it came on.

Along each axis a voxel is a mean of those about its place, weighted by a triangle as wide as the
larger of the two voxels: linear interpolation towards finer grids, smoothed against aliasing
towards coarser ones. Both grids begin at the same corner.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from vpbsd.config import Grid
from vpbsd.data.chunks import ChunkReader
from vpbsd.data.intensity import Counter, Histogram, Table, countable, tabulate
from vpbsd.data.volumes import CHUNK, Slices, Spacing, VolumeInfo
from vpbsd.inference.mask import MaskFile

Steps = tuple[float, float, float]


def resampled_info(info: VolumeInfo, spacing_um: Spacing) -> VolumeInfo:
    """Describes a volume of a known voxel size at another one."""
    assert info.spacing_um is not None
    z, y, x = (
        max(1, round(n * there / here))
        for n, there, here in zip(info.shape, info.spacing_um, spacing_um, strict=True)
    )
    return replace(info, shape=(z, y, x), spacing_um=spacing_um)


class ResampledImage:
    """An image at another voxel size, computed as it is read.

    Args:
        reader: The image as it is.
        steps: Voxels of it, along z, y, x, that one of the result is long.
        shape: Of the result.
        dtype: Type of both.

    Attributes:
        intensity: Counted over all of the result.
    """

    def __init__(self, reader: ChunkReader, steps: Steps, shape: Grid, dtype: str) -> None:
        self.shape, self._reader, self._steps = shape, reader, steps
        self._dtype = np.dtype(dtype)
        self.intensity = self._counted()

    def image_block(self, slices: Slices) -> NDArray[Any]:
        """Reads raw intensities of a block (z, y, x), in the stored type."""
        sides = self._reader.shape
        found = resampled(self._reader.image_block, sides, self._steps, slices)
        if self._dtype.kind in "ui":
            found = np.rint(found)
        return found.astype(self._dtype)

    def _counted(self) -> Histogram | Table:
        if not countable(self._dtype):
            return tabulate(self._blocks, self._dtype, int(np.prod(self.shape)))
        counter = Counter(self._dtype)
        for block in self._blocks():
            counter.add(block)
        return counter.histogram()

    def _blocks(self) -> Iterator[NDArray[Any]]:
        depth, height, width = self.shape
        for z in range(0, depth, CHUNK):
            for y in range(0, height, CHUNK):
                rows = slice(z, min(z + CHUNK, depth)), slice(y, min(y + CHUNK, height))
                yield self.image_block((*rows, slice(0, width)))


def resampled(read: Any, shape: Grid, steps: Steps, box: Slices) -> NDArray[np.float64]:  # noqa: ANN401 (of any type)
    """Computes a box of a volume at another voxel size.

    Args:
        read: Gives a box of the volume as it is.
        shape: The volume's.
        steps: Its voxels, along each axis, that one of the result is long.
        box: Of the result.
    """
    kernels = [weights(b, step, n) for b, step, n in zip(box, steps, shape, strict=True)]
    found: NDArray[np.float64] = read(tuple(where for where, _ in kernels)).astype(np.float64)
    for axis, (_, kernel) in enumerate(kernels):
        found = np.moveaxis(np.tensordot(kernel, found, (1, axis)), 0, axis)
    return found


def weights(out: slice, step: float, n: int) -> tuple[slice, NDArray[np.float64]]:
    """Computes what each voxel of an axis adds to those of another grid.

    Args:
        out: Voxels of the other grid.
        step: Length of one of them, in voxels of the axis.
        n: Voxels of the axis.

    Returns:
        Those that add anything; the weight of each (column) for each of `out` (row).

    >>> weights(slice(0, 2), 2.0, 4)[1].round(3).tolist()
    [[0.429, 0.429, 0.143, 0.0], [0.0, 0.143, 0.429, 0.429]]
    """
    reach = max(step, 1.0)
    places = (np.arange(out.start, out.stop) + 0.5) * step - 0.5
    places = np.clip(places, 0, n - 1)
    first = max(int(np.floor(places[0] - reach)) + 1, 0)
    last = min(int(np.ceil(places[-1] + reach)), n)
    away = np.abs(np.arange(first, last) - places[:, None])
    found = np.maximum(1 - away / reach, 0)
    return slice(first, last), found / found.sum(1, keepdims=True)


def write_back(coarse: MaskFile, file: MaskFile, steps: Steps, classes: int) -> None:
    """Writes a mask on the grid that a volume came on, from one at the model's voxel size.

    Args:
        coarse: The latter, finished. Of one class its probability is interpolated; of several,
            each one's share of the mask.
        file: The former; blocks that are finished are left alone.
        steps: Voxels of `coarse`, along each axis, that one of `file` is long.
        classes: Foreground classes.
    """
    layer = "0" if classes > 1 else "probability/0"
    stored = zarr.open_array(coarse.path / layer, mode="r")
    z, y, x = stored.shape
    for block in file.left():
        if classes > 1:
            found = np.stack(
                [
                    resampled(lambda b, k=k: np.asarray(stored[b]) == k, (z, y, x), steps, block)
                    for k in range(1, classes + 1)
                ]
            )
        else:
            found = resampled(lambda b: np.asarray(stored[b]), (z, y, x), steps, block) / 255
        file.commit(block, file.write(block, found.astype(np.float32)))
