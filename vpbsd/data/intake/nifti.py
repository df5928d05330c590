"""NIfTI files: x, y, z on disk, with an affine that says where they lie."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from vpbsd.data.intake.stack import Planes, Stack, refuse_absent, select
from vpbsd.data.intake.voxel_sizes import UM, positive
from vpbsd.data.volumes import Spacing
from vpbsd.errors import BadInput

AXES = "xyztcuv"  # the format's dimensions; the fifth holds components
BLOCK = 1 << 20  # bytes


def open_nifti(path: Path, take: Mapping[str, int]) -> Stack:
    """Opens a NIfTI file; scaled values are given as the header scales them.

    Raises:
        BadInput: It holds more than one grey volume.
    """
    image: Any = nib.load(path)
    header = image.header
    shape = header.get_data_shape()
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) < 3:
        raise BadInput(f"{path} has shape {shape}: save a grey stack of three axes")
    rest = tuple(_choose(path, shape, take))
    x, y, z = shape[:3]

    def planes() -> Planes:
        packed = path.name.lower().endswith(".gz")
        with gzip.open(path) if packed else path.open("rb") as stream:
            files = type(image).make_file_map({"image": stream})
            file: Any = type(image).from_file_map(files)  # unpacked once, forward
            spare = (0,) * (len(file.shape) - 3 - len(rest))
            for k in range(z):
                yield np.asarray(file.dataobj[(slice(None), slice(None), k, *rest, *spare)]).T
            while packed and stream.read(BLOCK):
                pass  # the checksum of the voxels comes last

    (affine, sizes, conflict), unit = _placed(header, _stored_zooms(image)), _unit(header)
    spacing = _spacing(unit, sizes)
    scale = np.diag([UM.get(unit, 1.0)] * 3 + [1.0])
    second = _second_place(header)
    return Stack(
        path,
        (z, y, x),
        next(planes()).dtype,
        None if conflict else spacing,
        planes,
        affine=None if affine is None else scale @ affine,
        second_affine=None if affine is None or second is None else scale @ second,
        frame="anatomical",
        in_um=unit in UM,
        doubt=conflict,
    )


def _choose(path: Path, shape: tuple[int, ...], take: Mapping[str, int]) -> list[int]:
    """Chooses along the axes beyond x, y, z."""
    axes = "zyx" + AXES[3 : len(shape)]
    refuse_absent(path, axes, take)
    index = select(path, axes, (*shape[2::-1], *shape[3:]), take)
    return [i for i in index if isinstance(i, int)]


def _stored_zooms(image: nib.Nifti1Image) -> tuple[float, ...]:
    """Reads the voxel sizes (z, y, x) as they are stored: nibabel makes 1 of 0."""
    with image.file_map["image"].get_prepare_fileobj("rb") as file:
        stored = type(image.header).from_fileobj(file, check=False)["pixdim"]
    return tuple(abs(float(side)) for side in stored[3:0:-1])


def _unit(header: nib.Nifti1Header) -> str:
    """Reads the unit of length; a code that the format does not know states none."""
    try:
        return str(header.get_xyzt_units()[0])
    except KeyError:
        return "unknown"


def _second_place(header: nib.Nifti1Header) -> NDArray[np.float64] | None:
    """Reads the affine (from z, y, x) of the qform where the sform is the one that counts."""
    if not (header["sform_code"] and header["qform_code"]):
        return None
    return np.asarray(header.get_qform(), np.float64)[:, [2, 1, 0, 3]]


def _placed(
    header: nib.Nifti1Header, zooms: tuple[float, ...]
) -> tuple[NDArray[np.float64] | None, tuple[float, ...], str]:
    """Reads affine (from z, y, x), voxel sizes (z, y, x) and what contradicts itself in them."""
    if not (header["sform_code"] or header["qform_code"]):
        return None, zooms, ""  # nothing is said of place
    affine = np.asarray(header.get_best_affine(), np.float64)
    turned = affine[:, [2, 1, 0, 3]]
    sides = np.linalg.norm(turned[:3, :3], axis=0)
    if not np.isfinite(turned).all() or not (sides > 0).all():
        return turned, zooms, ""  # which no label can be compared with
    stated = tuple(float(side) for side in sides)
    if np.allclose(sides, zooms, rtol=1e-3):
        return turned, zooms, ""
    if np.allclose(sides, 1):  # what libraries write who know of no place
        return None, zooms, ""
    if all(zoom in (0, 1) for zoom in zooms):
        return turned, stated, ""
    both = [" x ".join(f"{size:.4g}" for size in sizes) for sizes in (zooms, stated)]
    return turned, zooms, f"states voxels of {both[0]} in one place and of {both[1]} in another"


def _spacing(unit: str, sizes: tuple[float, ...]) -> Spacing | None:
    """Gives the voxel size, if a unit is stated; others write 1 x 1 x 1 mm for an unknown one."""
    if unit not in UM or (unit == "mm" and all(size == 1 for size in sizes)):
        return None
    return positive(size * UM[unit] for size in sizes)
