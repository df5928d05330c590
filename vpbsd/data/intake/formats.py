"""Which reader opens which source."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vpbsd.data.intake.arrays import open_hdf5, open_npz
from vpbsd.data.intake.itk import open_itk
from vpbsd.data.intake.names import FORMATS, format_of, is_zarr
from vpbsd.data.intake.nifti import open_nifti
from vpbsd.data.intake.ome_zarr import open_ome_zarr
from vpbsd.data.intake.slices import open_slices
from vpbsd.data.intake.stack import Choice, Opened, Stack, reading
from vpbsd.data.intake.tiff import open_tiff
from vpbsd.data.intake.voxel_sizes import doubt
from vpbsd.errors import BadInput


def open_source(path: Path, choice: Choice) -> tuple[Opened, ...]:
    """Opens the volumes that a file or folder holds; reads headers only.

    Args:
        path: A file of `FORMATS`, an OME-Zarr folder, or a folder of slices.
        choice: What is taken where there is more than one thing.

    Returns:
        One volume, or one per position.

    Raises:
        BadInput: The format is unknown, the file is damaged, or it is no stack of grey planes.
    """
    with reading(path):
        return tuple(
            replace(one, image=_doubted(one.image), label=one.label and _doubted(one.label))
            for one in _open(path, choice)
        )


def _open(path: Path, choice: Choice) -> tuple[Opened, ...]:
    kind = format_of(path)
    if is_zarr(path):
        return open_ome_zarr(path, choice)
    if path.is_dir():
        return (Opened(open_slices(path)),)
    if kind == ".npz":
        return (open_npz(path, choice),)
    if kind.startswith((".h5", ".hdf")):
        return (open_hdf5(path, choice),)
    if kind.startswith(".nii"):
        return (Opened(open_nifti(path, choice.take)),)
    if kind in (".nrrd", ".nhdr", ".mhd", ".mha"):
        return (Opened(open_itk(path, choice.take)),)
    if kind:
        return open_tiff(path, choice.take)
    raise BadInput(
        f"{path} is of no known format: give {', '.join(FORMATS)}, OME-Zarr or a folder of slices"
    )


def _doubted(stack: Stack) -> Stack:
    """Takes no voxel size that cannot be meant."""
    why = stack.doubt or doubt(stack.spacing_um, stack.shape)
    return replace(stack, spacing_um=None, doubt=why) if why else stack
