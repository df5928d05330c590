"""The mask that a graph is made of: one of `segment`, an imported volume, or a file."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from vpbsd.data.intensity import Histogram
from vpbsd.data.volumes import LABEL, Shape, Slices, Spacing, Volume, VolumeInfo, triple
from vpbsd.errors import BadInput
from vpbsd.inference.source import imported

MOST_VALUES = 32
"""Different values of a mask at most; what has more is an image."""


@dataclass(frozen=True)
class MaskVolume:
    """A mask on disk; every voxel that is not 0 is vessel.

    Attributes:
        name: For messages.
        array: The zarr array.
        shape: (z, y, x).
        spacing_um: Voxel size; None where it is not known.
        identity: What tells it from another mask, as JSON.
        checksums: The array with a checksum of each block, if `segment` wrote it.
    """

    name: str
    array: str
    shape: Shape
    spacing_um: Spacing | None
    identity: dict[str, Any]
    checksums: str | None = None

    def read(self, box: Slices) -> NDArray[np.bool_]:
        """Reads a box.

        Raises:
            BadInput: A chunk is damaged.
        """
        try:
            there: NDArray[np.bool_] = np.asarray(zarr.open_array(self.array, mode="r")[box]) != 0
            return there
        except Exception as error:
            raise BadInput(
                f"{self.array} cannot be read: {error}: write the mask again"
            ) from error

    def check(self, box: Slices) -> None:
        """Compares a block with what `segment` wrote, if it is one of its blocks.

        Raises:
            BadInput: It is not the same; a chunk was lost or damaged.
        """
        if self.checksums is None:
            return
        stored = zarr.open_array(self.checksums, mode="r")
        array = zarr.open_array(self.array, mode="r")
        side = max(array.shards or array.chunks)  # a block is a shard, or the volume's end
        if any(
            b.start % side or b.stop not in (b.start + side, n)
            for b, n in zip(box, self.shape, strict=True)
        ):
            return
        z, y, x = (b.start // side for b in box)
        voxels = np.ascontiguousarray(array[box])
        if int(np.asarray(stored[z, y, x])) != (zlib.crc32(voxels.data) or 1):
            raise BadInput(
                f"{self.name} has lost or damaged chunks at {[b.start for b in box]}: segment "
                "again, which computes what is missing"
            )


@contextmanager
def opened_mask(path: Path, out: Path, ask: str | None = None) -> Iterator[MaskVolume]:
    """Opens a mask; files of other formats lie beside the output, converted, until the end.

    Args:
        path: A mask of `segment`, an imported volume (its label), or any mask that could be
            imported: OME-Zarr, TIFF, NIfTI, a folder of slices.
        out: Where the result will be.
        ask: See `imported`.

    Raises:
        BadInput: It is none, it is not finished, or it is an image.
    """
    ours = _of_segment(path)
    if ours is not None:
        yield ours
        return
    with imported(path, out, ask) as info:
        yield _of_volume(info)


def _of_segment(path: Path) -> MaskVolume | None:
    """Opens a mask of `segment`; None if it is none."""
    try:
        group = zarr.open_group(path, mode="r")
        source: Any = group.attrs["vpbsd_source"]
        ome: Any = group.attrs["ome"]
        array = zarr.open_array(path / "0", mode="r")
        done = np.asarray(zarr.open_array(path / "done", mode="r")[:])
    except (OSError, KeyError, ValueError):
        return None
    missing = int(np.count_nonzero(done == 0))
    if missing:
        raise BadInput(
            f"{path} is not finished, {missing} of {done.size} blocks are missing: give the same "
            "command of segment again"
        )
    (image,) = ome["multiscales"]
    scale = image["datasets"][0]["coordinateTransformations"][0]
    known = "unit" in image["axes"][0]
    return MaskVolume(
        name=path.name,
        array=str((path / "0").absolute()),
        shape=triple(array.shape),
        spacing_um=triple(scale["scale"]) if known else None,
        identity={"source": source, "blocks": zlib.crc32(done.tobytes())},
        checksums=str((path / "done").absolute()),
    )


def _of_volume(info: VolumeInfo) -> MaskVolume:
    """Opens the label of a volume, or a volume that is a mask."""
    if info.labelled:
        array = f"{info.path}/{LABEL}/0"
    else:
        array = f"{info.path}/0"
        counted = Volume(info).intensity
        values = len(counted.values) if isinstance(counted, Histogram) else MOST_VALUES + 1
        if values > MOST_VALUES:
            raise BadInput(
                f"{info.name} is an image, not a mask ({info.dtype}, more than {MOST_VALUES} "
                "values): segment it first, and give the mask"
            )
    identity = {"fingerprint": info.fingerprint}
    return MaskVolume(info.name, array, info.shape, info.spacing_um, identity)
