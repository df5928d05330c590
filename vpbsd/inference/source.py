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

from vpbsd.data.intake.importing import import_volumes
from vpbsd.data.volumes import CHUNK, SUFFIX, VolumeInfo, read_info
from vpbsd.errors import BadInput

TIFF, NIFTI = (".tif", ".tiff"), (".nii.gz", ".nii")


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
    found = import_volumes([path], place, spacing="unknown")  # where the file states none
    if len(found) != 1:
        raise BadInput(f"{path} holds {len(found)} volumes: give one of them")
    (info,) = found
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


def _is_ours(path: Path) -> bool:
    try:
        return "vpbsd" in zarr.open_group(path, mode="r").attrs
    except (OSError, ValueError):
        return True  # `read_info` says what is wrong with it
