"""The mask on disk: an OME-Zarr label image that grows block by block and knows whose it is."""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from skimage.measure import block_reduce
from zarr.codecs import Crc32cCodec, ZstdCodec

from vpbsd.config import Grid
from vpbsd.data.boxes import blocks
from vpbsd.data.volume_writer import multiscale
from vpbsd.data.volumes import AXES, CHUNK, Slices, VolumeInfo
from vpbsd.errors import BadInput
from vpbsd.inference.decision import entropy, foreground, label_of

Stored = zarr.Array[Any]
SMALLEST = 256  # longest side in voxels that needs no coarser level
LAYERS: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "probability": foreground,
    "uncertainty": entropy,
}
"""What can be kept beside a mask, in [0, 1], made of the probabilities of a block; 255 is 1."""


class MaskFile:
    """A mask (uint8, numbers of classes), and what is kept beside it, block by block.

    A block counts once its checksum is committed, which happens after its voxels are written: who
    is killed between the two repeats a block, and one that was lost or changed since is found.

    Args:
        out: The OME-Zarr to make, or to continue.
        info: What is segmented.
        source: All that the mask depends on; the mask of anything else is not continued.
        side: Of a block.
        layers: What is kept beside the mask, by names of `LAYERS`.

    Raises:
        BadInput: Something else lies there.
    """

    def __init__(
        self,
        out: Path,
        info: VolumeInfo,
        source: dict[str, Any],
        side: int,
        layers: Sequence[str] = (),
    ) -> None:
        if out.exists() and not is_mask_of(out, source):
            raise BadInput(
                f"{out} exists and is no mask of {info.name} by this model and these settings: "
                "choose another name, or delete it"
            )
        about = multiscale(info.name, info.spacing_um)
        about["image-label"] = {"colors": [{"label-value": 1, "rgba": [255, 64, 64, 255]}]}
        attributes: Any = {"vpbsd_source": source, "ome": about}
        self.path, self._side, self._shape = out, side, info.shape
        self._group = zarr.open_group(out, mode="a", attributes=attributes)
        self._mask = self._array(self._group, "0")
        self._layers: dict[str, Stored] = {}
        for name in layers:
            described: Any = {"ome": multiscale(f"{info.name} {name}", info.spacing_um)}
            child = self._group.require_group(name)
            child.attrs.update(described)
            self._layers[name] = self._array(child, "0")
        grid = tuple(-(-n // side) for n in info.shape)
        self._done = self._group.require_array(
            "done", shape=grid, chunks=(1, *grid[1:]), dtype="uint32"
        )

    def left(self) -> list[Slices]:
        """Lists the blocks that are not finished."""
        return [b for b in blocks(self._shape, self._side) if not self.finished(b)]

    def finished(self, block: Slices) -> bool:
        """Tells whether a block was stored, and is still what was stored."""
        wanted = int(np.asarray(self._done[self._place(block)]))
        try:
            return wanted != 0 and wanted == _checksum(np.asarray(self._mask[block]))
        except Exception:  # noqa: BLE001 (whatever a codec raises: it is computed again)
            return False

    def write(self, block: Slices, probability: NDArray[np.float32]) -> int:
        """Writes a block; it counts once the checksum that is returned is committed.

        Args:
            block: Where; no two at once write the same.
            probability: Of the foreground class there (z, y, x), or of each of several first.
        """
        mask = label_of(probability)
        for name, array in self._layers.items():
            array[block] = np.rint(255 * LAYERS[name](probability)).astype(np.uint8)
        self._mask[block] = mask
        return _checksum(mask)

    def write_empty(self, block: Slices) -> None:
        """Writes and commits a block in which there is nothing."""
        nothing = np.zeros([b.stop - b.start for b in block], np.uint8)
        for array in (self._mask, *self._layers.values()):
            array[block] = nothing
        self.commit(block, _checksum(nothing))

    def commit(self, block: Slices, checksum: int) -> None:
        """Notes that a block is written; only one process does."""
        self._done[self._place(block)] = checksum

    def write_levels(self) -> None:
        """Adds coarser levels, in which a voxel is of the highest class of its eight."""
        level, path = self._mask, 0
        ome: Any = self._group.attrs["ome"]
        (image,) = ome["multiscales"]
        (first, *_) = image["datasets"]
        datasets = [first]
        while max(level.shape) > SMALLEST:
            path += 1
            shape = tuple(-(-n // 2) for n in level.shape)
            coarse = self._array(self._group, str(path), (shape[0], shape[1], shape[2]))
            for z in range(0, shape[0], CHUNK):
                for y in range(0, shape[1], self._side):
                    block = np.asarray(
                        level[2 * z : 2 * (z + CHUNK), 2 * y : 2 * (y + self._side)]
                    )
                    coarse[z : z + CHUNK, y : y + self._side] = block_reduce(
                        block, (2, 2, 2), np.max
                    )
            (scale,) = first["coordinateTransformations"]
            wider = {"type": "scale", "scale": [s * 2**path for s in scale["scale"]]}
            moved = [s * (2**path - 1) / 2 for s in scale["scale"]]
            shifted = {"type": "translation", "translation": moved}
            datasets.append({"path": str(path), "coordinateTransformations": [wider, shifted]})
            level = coarse
        self._group.attrs["ome"] = {**ome, "multiscales": [{**image, "datasets": datasets}]}
        for left in self.path.rglob("*.partial"):  # by whoever was killed while writing
            left.unlink()

    def _array(self, group: zarr.Group, name: str, shape: Grid | None = None) -> Stored:
        chunk = min(CHUNK, self._side)
        shards = tuple(min(self._side, -(-n // chunk) * chunk) for n in shape or self._shape)
        return group.require_array(
            name,
            shape=shape or self._shape,
            chunks=(chunk,) * 3,
            shards=shards,
            dtype="uint8",
            compressors=(ZstdCodec(), Crc32cCodec()),
            dimension_names=AXES,
        )

    def _place(self, block: Slices) -> tuple[int, int, int]:
        z, y, x = (b.start // self._side for b in block)
        return z, y, x


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Keeps others from writing the same mask meanwhile.

    Raises:
        BadInput: Another process is at it.
    """
    lock = out.with_name(f".{out.name}.lock")
    taken = BadInput(f"{out} is being written by another run: wait for it, or give another name")
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file.fileno()).st_nlink == 0:  # whoever held it has just ended
                raise taken
        except BlockingIOError:
            raise taken from None
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def is_mask_of(out: Path, source: dict[str, Any]) -> bool:
    """Tells whether an earlier run began this very mask; anything else may lie there."""
    try:
        return bool(zarr.open_group(out, mode="r").attrs.get("vpbsd_source") == source)
    except (OSError, ValueError):
        return False


def _checksum(block: NDArray[np.uint8]) -> int:
    return zlib.crc32(np.ascontiguousarray(block).data) or 1  # 0: not there
