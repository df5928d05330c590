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

from vpbsd.data.intake.formats import open_source
from vpbsd.data.intake.stack import Choice, Stack, slabs
from vpbsd.data.volume_checks import VolumeMetadata, check_metadata
from vpbsd.data.volume_writer import write_volume
from vpbsd.data.volumes import CHUNK, SUFFIX, Spacing, VolumeInfo, is_ours, read_info, triple
from vpbsd.drafts import draft_of
from vpbsd.errors import BadInput

TIFF, NIFTI = (".tif", ".tiff"), (".nii.gz", ".nii")


@contextmanager
def imported(path: Path, out: Path, ask: str | None = None) -> Iterator[VolumeInfo]:
    """Finds an imported volume, or imports what else lies there, beside the output, until the end.

    A run that is killed leaves the import; labels that lie beside the source are not looked for.

    Args:
        path: A volume that `vpbsd import` wrote, any other OME-Zarr image, or what it can import.
        out: The mask.
        ask: Option that gives the voxel size, where a file must state it if that is not given.

    Raises:
        BadInput: It is nothing that could be imported, or states no voxel size but must.
    """
    image = _found(path)
    if isinstance(image, VolumeInfo):
        yield image
        return
    place = out.with_name(f".{out.name}.input")
    metadata = VolumeMetadata(triple(image.shape), image.dtype.name, image.spacing_um, path.name)
    check_metadata(path.name, metadata)
    if ask and image.spacing_um is None:
        raise BadInput(f"{path.name} states no voxel size: give {ask} Z Y X in micrometres")
    try:
        yield write_volume(place, path.name, slabs(image), metadata, replace=True)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def stated_voxel_size(path: Path) -> Spacing | None:
    """Reads the voxel size that an input states, from its headers alone; see `imported`.

    Raises:
        BadInput: It is nothing that could be imported.
    """
    return _found(path).spacing_um


def _found(path: Path) -> VolumeInfo | Stack:
    if not path.exists():
        raise BadInput(f"there is no {path}: give the path of a volume or a file")
    if path.name.endswith(SUFFIX) and is_ours(path):
        return read_info(path)
    held = open_source(path, Choice())
    if len(held) != 1:
        raise BadInput(f"{path} holds {len(held)} volumes: give one of them")
    return held[0].image


def export(mask: Path, out: Path, info: VolumeInfo) -> None:
    """Writes an OME-Zarr mask as a TIFF stack or a NIfTI file, by the name given.

    Args:
        mask: Of `segment`.
        out: Ends with .tif, .tiff, .nii or .nii.gz.
        info: What was segmented; its voxel size is written, too.
    """
    array = zarr.open_array(mask / "0", mode="r")
    write = _write_tiff if out.name.endswith(TIFF) else _write_nifti
    with draft_of(out) as draft:
        write(draft, array, info)


def _write_nifti(path: Path, array: zarr.Array[Any], info: VolumeInfo) -> None:
    image = nib.Nifti1Image(np.asarray(array[:]).T, None)  # of its place nothing is known
    if info.spacing_um is not None:
        image.header.set_zooms([side / 1000 for side in info.spacing_um[::-1]])
        image.header.set_xyzt_units("mm")
    nib.save(image, path)


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
