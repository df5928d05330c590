"""A data set: a folder of OME-Zarr 0.5 volumes that carry their voxel size, group and fingerprint.

``<folder>/<name>.ome.zarr`` holds the image at ``0``, its label, if any, at ``labels/vessel/0``,
and what is only ours under the attribute ``vpbsd``. Listing reads metadata, never voxels.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from vpbsd.cli import invocation
from vpbsd.config import Data
from vpbsd.data import normalisation
from vpbsd.data.intensity import Histogram, Table, countable
from vpbsd.errors import BadInput

SUFFIX = ".ome.zarr"
LABEL = "labels/vessel"
AXES = ("z", "y", "x")
CELLS = "cells"  # what is kept of each 16^3 voxels, in volumes that are new enough
VESSEL = ("vessel",)
"""What a label of 0 and 1 marks if nobody says."""
PROFILE = "label_profile"
LONGEST_NAME = 200  # bytes; file systems take 255, and drafts have longer names
CHUNK = 64  # voxels along each axis of a chunk, as long as a patch

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]
Slices = tuple[slice, slice, slice]
Planes = tuple[NDArray[Any], ...]  # of one z: the image's, and the label's where there is one


@dataclass(frozen=True)
class VolumeInfo:
    """What is known of a volume without reading its voxels.

    Attributes:
        name: As it was imported; the folder is named so, with ``.ome.zarr``, unless that is too
            long.
        path: Where it lies.
        group: Animal or acquisition, which folds never split.
        channel: The stain, if stated.
        shape: Voxels along z, y, x.
        dtype: Type of the image, such as "uint16".
        spacing_um: Voxel size along z, y, x in micrometres; None where it is not known.
        labelled: Whether there is a label.
        label_voxels: Number of voxels that it marks; None where there is no label.
        fingerprint: SHA-256 over voxels, label, shape, type, voxel size and group; neither
            name nor place nor chunks change it.
        classes: Names of the label's values 1, 2, ...; 0 is background.
        content: SHA-256 over the image's voxels alone; None where an older version wrote it.
    """

    name: str
    path: str
    group: str
    channel: str | None
    shape: Shape
    dtype: str
    spacing_um: Spacing | None
    labelled: bool
    label_voxels: int | None
    fingerprint: str
    classes: tuple[str, ...] = VESSEL
    content: str | None = None


class Volume:
    """A volume opened for reading.

    Args:
        info: Which one.
    """

    def __init__(self, info: VolumeInfo) -> None:
        self.info = info
        self.image = zarr.open_array(f"{info.path}/0", mode="r")
        label = f"{info.path}/{LABEL}/0"
        self.label = zarr.open_array(label, mode="r") if info.labelled else None
        cells = Path(info.path) / CELLS
        self.cells = zarr.open_array(cells, mode="r") if cells.exists() else None

    @property
    def shape(self) -> Shape:
        """Voxels along z, y, x."""
        return self.info.shape

    def image_block(self, slices: Slices) -> NDArray[Any]:
        """Reads raw intensities of a block (z, y, x), in the stored type."""
        return np.asarray(self.image[slices])

    def label_block(self, slices: Slices) -> NDArray[np.uint8]:
        """Reads the label of a block (z, y, x): numbers of classes, 0 is background.

        Raises:
            BadInput: The volume has no label.
        """
        if self.label is None:
            raise BadInput(f"volume {self.info.name} has no label: import it again with one")
        return np.asarray(self.label[slices], np.uint8)

    def limits(self, percentile: float) -> tuple[float, float]:
        """Finds the intensities that ``normalise`` maps to 0 and 1: the minimum and a percentile.

        Args:
            percentile: Of this volume's voxels, 0 to 100.

        Raises:
            BadInput: The percentile is not stored, or clipping there would erase all contrast.
        """
        return normalisation.limits(self.intensity, percentile, self.info.name)

    def scale(self, data: Data) -> normalisation.Scale:
        """Makes the map from this volume's raw intensities to the image that networks see.

        Raises:
            BadInput: See `normalisation.scale`.
        """
        return normalisation.scale(data, self.intensity, self.info.name)

    @cached_property
    def intensity(self) -> Histogram | Table:
        """What was counted of its intensities at import."""
        root = Path(self.info.path)
        if countable(np.dtype(self.info.dtype)):
            values, counts = np.asarray(zarr.open_array(root / "intensity", mode="r")[:])
            return Histogram(values, counts)
        ours: Any = zarr.open_group(root, mode="r").attrs["vpbsd"]
        return Table({float(p): value for p, value in ours["percentiles"].items()})


def check_intensity(volumes: Iterable[VolumeInfo], data: Data) -> None:
    """Refuses settings that some volume cannot be normalised by, before anything is trained.

    Raises:
        BadInput: See `normalisation.scale` and, as patches are sampled by it, `Volume.limits`.
    """
    for info in volumes:
        volume = Volume(info)
        volume.limits(data.clip_percentile)
        volume.scale(data)


def open_volume(info: VolumeInfo) -> Volume:
    """Opens a listed volume.

    Raises:
        BadInput: It is not on this node, or another one now lies in its place.
    """
    if not Path(info.path).is_dir():
        raise BadInput(
            f"volume {info.path} is not on node {platform.node()}: every node must find the data "
            "at the same path, on NFS or as a copy"
        )
    # A path may hold another volume by now; the key of every stage rests on the fingerprint.
    if read_info(info.path).fingerprint != info.fingerprint:
        raise BadInput(f"volume {info.path} has changed since it was listed: start again")
    return Volume(info)


def list_volumes(folder: str | Path) -> tuple[VolumeInfo, ...]:
    """Lists all volumes of a data set, sorted by name.

    Raises:
        BadInput: There is no such folder, it holds no volume, or one of them is not complete.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BadInput(f"data folder {folder} does not exist: give the folder of imported volumes")
    found = [p for p in folder.glob(f"*{SUFFIX}") if not p.name.startswith(".")]
    if not found:
        raise BadInput(
            f"data folder {folder} holds no volumes: "
            f"import some with {invocation('import')} SRC... {shlex.quote(str(folder))}"
        )
    return tuple(sorted((read_info(path) for path in found), key=lambda info: info.name))


def read_info(path: str | Path) -> VolumeInfo:
    """Reads a volume's metadata.

    Raises:
        BadInput: It is not a whole volume that this program wrote.
    """
    path = Path(path)
    try:
        root = zarr.open_group(path, mode="r", zarr_format=3)
        image = zarr.open_array(path / "0", mode="r")
        ours: Any = root.attrs["vpbsd"]
        ome: Any = root.attrs["ome"]
        scale = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"]
        if ours["label_voxels"] is not None:
            zarr.open_array(path / LABEL / "0", mode="r")
        return VolumeInfo(
            name=ours.get("name", path.name.removesuffix(SUFFIX)),
            path=str(path.absolute()),
            group=ours["group"],
            channel=ours["channel"],
            shape=triple(image.shape),
            dtype=str(image.dtype),
            spacing_um=triple(scale) if ours["spacing_known"] else None,
            labelled=ours["label_voxels"] is not None,
            label_voxels=ours["label_voxels"],
            fingerprint=ours["fingerprint"],
            classes=tuple(ours.get("classes", VESSEL)),
            content=ours.get("content"),
        )
    except (OSError, LookupError, TypeError, ValueError) as error:
        raise BadInput(
            f"{path} is not a whole volume that vpbsd wrote: {_remedy(path)}"
        ) from error


def _remedy(path: Path) -> str:
    """Says what to do about a folder; what may be another program's is never to be deleted."""
    if is_ours(path):
        return "import its source again with --replace"
    return "move it out of the data folder, or import it from elsewhere"


def is_ours(path: Path) -> bool:
    """Tells whether this program wrote a folder, whole or not."""
    try:
        attributes: Any = json.loads((path / "zarr.json").read_text("utf-8"))["attributes"]
        return "vpbsd" in attributes
    except (OSError, ValueError, LookupError, TypeError):
        return False


def volume_path(folder: str | Path, name: str) -> Path:
    """Gives the place of a volume; a name too long for a file's is cut, and told apart by a hash.

    >>> volume_path("data", "brain").name
    'brain.ome.zarr'
    """
    encoded = name.encode()
    if len(encoded) > LONGEST_NAME:
        head = encoded[: LONGEST_NAME - 13].decode(errors="ignore")
        name = f"{head}~{hashlib.sha256(encoded).hexdigest()[:12]}"
    return Path(folder) / f"{name}{SUFFIX}"


def label_profile(info: VolumeInfo, axis: int) -> NDArray[np.int64] | None:
    """Counts the voxels that a label marks plane by plane along an axis (0: z, 1: y, 2: x).

    Returns:
        (voxels along the axis,); None where there is no label, or the volume is not on this node.
    """
    root = Path(info.path)
    if not info.labelled or not root.is_dir():
        return None
    stored = root / PROFILE / AXES[axis]
    if stored.is_dir():
        return np.asarray(zarr.open_array(stored, mode="r")[:], np.int64)
    label = zarr.open_array(root / LABEL / "0", mode="r")  # an older version wrote it
    counts = np.zeros(info.shape[axis], np.int64)
    for z in range(0, info.shape[0], CHUNK):
        slab = np.asarray(label[z : z + CHUNK])
        others = tuple(i for i in range(3) if i != axis)
        summed = np.count_nonzero(slab, axis=others)
        if axis == 0:
            counts[z : z + len(slab)] = summed
        else:
            counts += summed
    return counts


def triple(numbers: Iterable[Any]) -> tuple[Any, Any, Any]:
    """Makes a tuple of three of anything that has three."""
    z, y, x = numbers
    return z, y, x
