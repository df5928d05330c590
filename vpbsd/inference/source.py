"""What a user names as input or output: other formats are converted on the way in and out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

from vpbsd.data.importers import import_volumes
from vpbsd.data.stacks import open_stack
from vpbsd.data.volume_checks import VolumeMetadata
from vpbsd.data.volume_writer import write_volume
from vpbsd.data.volumes import CHUNK, SUFFIX, VolumeInfo, read_info, triple
from vpbsd.errors import BadInput

TIFF, NIFTI = (".tif", ".tiff"), (".nii.gz", ".nii")
UNITS = {"nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3, "meter": 1e6}
"""Micrometres in a unit of OME-Zarr."""


@contextmanager
def imported(path: Path, out: Path) -> Iterator[VolumeInfo]:
    """Finds an imported volume, or imports what else lies there, beside the output, until the end.

    A run that is stopped leaves the import, and goes on from it.

    Args:
        path: A volume that `vpbsd import` wrote, any other OME-Zarr image, or what it can import.
        out: The mask.

    Raises:
        BadInput: It is nothing that could be imported.
    """
    if path.name.endswith(SUFFIX) and _is_ours(path) or not path.exists():
        yield read_info(path)
        return
    place = out.with_name(f".{out.name}.input")
    if _is_zarr(path):
        info = _import_zarr(path, place)
    else:
        stated = open_stack(path)[0].spacing_um
        (info,) = import_volumes([path], place, spacing=stated or "unknown")
    yield info
    shutil.rmtree(place, ignore_errors=True)


def export(mask: Path, out: Path, info: VolumeInfo) -> None:
    """Writes an OME-Zarr mask as a TIFF stack or a NIfTI file, by the name given.

    Args:
        mask: Of `segment`.
        out: Ends with .tif, .tiff, .nii or .nii.gz.
        info: What was segmented; its voxel size is written, too.
    """
    array = zarr.open_array(mask / "0", mode="r")
    draft = out.with_name(f".{out.name}.partial{out.suffix}")
    if out.name.endswith(TIFF):
        _write_tiff(draft, array, info)
    else:
        spacing = info.spacing_um or (1.0, 1.0, 1.0)
        affine = np.diag([*(s / 1000 for s in spacing[::-1]), 1])
        image = nib.Nifti1Image(np.asarray(array[:]).T, affine)
        image.header.set_xyzt_units("mm")
        draft = out.with_name(f".partial.{out.name}")
        nib.save(image, draft)
    draft.rename(out)


def _write_tiff(path: Path, array: zarr.Array[Any], info: VolumeInfo) -> None:
    def planes() -> Iterator[NDArray[np.uint8]]:
        for z in range(0, array.shape[0], CHUNK):
            yield from np.asarray(array[z : z + CHUNK])

    about: dict[str, Any] = {"axes": "ZYX"}
    resolution = None
    if info.spacing_um is not None:
        z, y, x = info.spacing_um
        about |= {"spacing": z, "unit": "um"}
        resolution = (1 / x, 1 / y)
    tifffile.imwrite(
        path,
        planes(),
        shape=array.shape,
        dtype=np.uint8,
        imagej=array.size < 2**31,
        bigtiff=array.size >= 2**31,
        resolution=resolution,
        metadata=about,
    )


def _is_zarr(path: Path) -> bool:
    return any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zattrs"))


def _is_ours(path: Path) -> bool:
    try:
        return "vpbsd" in zarr.open_group(path, mode="r").attrs
    except (OSError, ValueError):
        return True  # `read_info` says what is wrong with it


def _import_zarr(path: Path, place: Path) -> VolumeInfo:
    """Imports the finest level of an OME-Zarr image, 0.4 or 0.5."""
    name = path.name.removesuffix(SUFFIX).removesuffix(".zarr")
    try:
        attributes: Any = zarr.open_group(path, mode="r").attrs
        (image, *_) = attributes.get("ome", attributes)["multiscales"]
        level = image["datasets"][0]
        array: Any = zarr.open_array(path / level["path"], mode="r")
        axes = [axis["name"] for axis in image["axes"]]
        scale = next(t["scale"] for t in level["coordinateTransformations"] if "scale" in t)
    except (OSError, ValueError, LookupError, TypeError, StopIteration) as error:
        raise BadInput(f"{path} is no OME-Zarr image: give one of version 0.4 or 0.5") from error
    places = [axes.index(axis) for axis in "zyx" if axis in axes]
    if len(places) != 3 or any(n != 1 for i, n in enumerate(array.shape) if i not in places):
        raise BadInput(f"{path} has the axes {' '.join(axes)}: give one stack z, y, x per channel")
    units = [image["axes"][i].get("unit") for i in places]
    known = all(unit in UNITS for unit in units)
    sizes = [scale[i] * UNITS.get(u, 1.0) for i, u in zip(places, units, strict=True)]
    spacing = triple(sizes) if known else None
    shape = triple(array.shape[i] for i in places)

    def slabs() -> Iterator[NDArray[Any]]:
        for z in range(0, shape[0], CHUNK):
            index: list[Any] = [slice(None) if i in places else 0 for i in range(array.ndim)]
            index[places[0]] = slice(z, min(z + CHUNK, shape[0]))
            yield np.asarray(array[tuple(index)])

    metadata = VolumeMetadata(shape, array.dtype.name, spacing, name)
    return write_volume(place, name, slabs(), metadata)
