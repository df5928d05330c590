"""Stacks of planes in .npz, NIfTI and TIFF files and in folders of TIFF slices."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import tifffile
import zarr
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from vpbsd.data.volumes import Spacing
from vpbsd.errors import BadInput

FORMATS = (".npz", ".nii.gz", ".nii", ".ome.tiff", ".ome.tif", ".tiff", ".tif")
UM = {"nm": 1e-3, "mm": 1e3, "meter": 1e6}  # micrometres in one unit
UM |= dict.fromkeys(("um", "µm", "μm", "\\u00B5m", "micron", "microns", "micrometer"), 1.0)
NO_FILE = (OSError, EOFError, ValueError, LookupError)
DAMAGED = (ET.ParseError, zlib.error, zipfile.BadZipFile, tifffile.TiffFileError, ImageFileError)

Planes = Iterator[NDArray[Any]]


@dataclass(frozen=True)
class Stack:
    """Planes that a file or folder holds; only headers are read until planes are.

    Attributes:
        path: Where it lies.
        shape: z, y, x.
        dtype: Type of its voxels.
        spacing_um: Voxel size z, y, x that the file states; None where it states none.
        planes: Starts reading the planes (y, x), z = 0 first.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    spacing_um: Spacing | None
    planes: Callable[[], Planes]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns whatever a damaged file raises within into one line.

    Raises:
        BadInput: The file cannot be read; it and the reason are named.
    """
    try:
        yield
    except BadInput:
        raise
    except (*NO_FILE, *DAMAGED) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BadInput(f"{path} cannot be read: {reason}") from error


def open_stack(path: Path) -> tuple[Stack, Stack | None]:
    """Opens the image and, where the file itself holds one, the label; reads headers only.

    Raises:
        BadInput: The format is unknown, the file is damaged, or it is no stack of grey planes.
    """
    with reading(path):
        if path.is_dir():
            return _open_slices(path), None
        kind = format_of(path)
        if kind == ".npz":
            return _open_npz(path)
        if kind.startswith(".nii"):
            return _open_nifti(path), None
        if kind:
            return _open_tiff(path), None
    raise BadInput(
        f"{path} is of no known format: give {', '.join(FORMATS)} or a folder of slices"
    )


def _open_npz(path: Path) -> tuple[Stack, Stack | None]:
    with zipfile.ZipFile(path) as file:
        held = {name.removesuffix(".npy"): _npy_header(file, name) for name in file.namelist()}
    if "image" not in held:
        raise BadInput(
            f"{path} holds {', '.join(held)}, but no image: name its arrays image, label"
        )
    spacing = None
    if "spacing_zyx_um" in held:
        with np.load(path) as arrays:
            spacing = _positive(arrays["spacing_zyx_um"])

    def stack(key: str) -> Stack:
        def planes() -> Planes:
            with np.load(path) as arrays:
                yield from arrays[key]

        return Stack(path, _three_axes(path, held[key][0]), held[key][1], spacing, planes)

    return stack("image"), stack("label") if "label" in held else None


def _npy_header(file: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with file.open(name) as array:
        form = np.lib.format
        first = form.read_magic(array) == (1, 0)
        read = form.read_array_header_1_0 if first else form.read_array_header_2_0
        shape, _, dtype = read(array)
    return shape, dtype


def _open_nifti(path: Path) -> Stack:
    header: Any = nib.load(path).header
    shape = header.get_data_shape()
    one = (0,) if len(shape) == 4 and shape[3] == 1 else ()  # a single time point
    x, y, z = _three_axes(path, shape[: len(shape) - len(one)])

    def planes() -> Planes:
        file: Any = nib.load(path, keep_file_open=True)  # so that .gz is unpacked once, forward
        for k in range(z):
            yield np.asarray(file.dataobj[(slice(None), slice(None), k, *one)]).T

    return Stack(path, (z, y, x), next(planes()).dtype, _nifti_spacing(header), planes)


def _nifti_spacing(header: nib.Nifti1Header) -> Spacing | None:
    """Reads the voxel size, if a unit is stated; others write 1 x 1 x 1 mm for an unknown one."""
    unit, zooms = header.get_xyzt_units()[0], header.get_zooms()[2::-1]
    if unit not in UM or (unit == "mm" and all(zoom == 1 for zoom in zooms)):
        return None
    return _positive([zoom * UM[unit] for zoom in zooms])


def _open_tiff(path: Path) -> Stack:
    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        axes, shape, dtype = series.axes, series.shape, series.dtype
        several = len(file.series) > 1
        spacing = _ome_spacing(file) if file.ome_metadata else _imagej_spacing(file)
    if axes == "YX":
        remedy = "save them as one stack" if several else "give the folder that holds the slices"
        raise BadInput(f"{path} holds 2-D slices, not a stack: {remedy}")
    if len(axes) != 3 or axes[0] not in "ZIQ" or axes[1:] != "YX":
        raise BadInput(
            f"{path} has the axes {axes} and shape {shape}: save one grey stack (ZYX) per channel"
        )

    def planes() -> Planes:
        with tifffile.TiffFile(path) as file, file.series[0].aszarr(level=0) as store:
            array: Any = zarr.open_array(store, mode="r")
            for z in range(shape[0]):
                yield np.asarray(array[z])

    next(planes())  # a compression that cannot be read is known before anything is written
    return Stack(path, shape, dtype, spacing, planes)


def _imagej_spacing(file: tifffile.TiffFile) -> Spacing | None:
    about, tags = file.imagej_metadata or {}, file.pages[0].tags
    if about.get("unit") not in UM or "spacing" not in about or "YResolution" not in tags:
        return None
    (y, per_y), (x, per_x) = tags["YResolution"].value, tags["XResolution"].value
    inverse = (about["spacing"], per_y / y if y else 0, per_x / x if x else 0)
    return _positive([size * UM[about["unit"]] for size in inverse])


def _ome_spacing(file: tifffile.TiffFile) -> Spacing | None:
    pixels = ET.fromstring(file.ome_metadata).find(".//{*}Pixels")
    if pixels is None:
        return None
    names = [f"PhysicalSize{axis}" for axis in "ZYX"]
    units = [UM.get(pixels.get(f"{name}Unit", "µm"), 0.0) for name in names]
    sizes = [float(pixels.get(name, 0)) for name in names]
    return _positive([size * unit for size, unit in zip(sizes, units, strict=True)])


def _open_slices(folder: Path) -> Stack:
    files = slice_files(folder)
    if not files:
        raise BadInput(f"{folder} holds no 2-D TIFF slices")
    first = _slice_header(files[0])
    for file in files:
        shape, dtype = header = _slice_header(file)
        if header != first:
            raise BadInput(
                f"{file} is {shape} {dtype}: all slices of a volume must be grey, 2-D and like "
                f"the first ({first[0]} {first[1]}); keep each channel in a folder of its own"
            )
    _check_numbers(files)

    def planes() -> Planes:
        return (tifffile.imread(file) for file in files)

    next(planes())
    return Stack(folder, (len(files), *first[0]), first[1], None, planes)


def slice_files(folder: Path) -> list[Path]:
    """Lists the TIFF files of a folder in natural order, if they are slices (the first is 2-D)."""
    files = sorted((p for p in folder.iterdir() if format_of(p).startswith(".tif")), key=natural)
    return files if files and len(_slice_header(files[0])[0]) < 3 else []


def _slice_header(path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with reading(path), tifffile.TiffFile(path) as file:
        return file.series[0].shape, file.series[0].dtype


def _check_numbers(files: Sequence[Path]) -> None:
    """Refuses slices whose last numbers jump (one is missing) or repeat (channels are mixed)."""
    numbers = [re.findall(r"\d+", file.stem)[-1:] for file in files]
    steps = np.diff([int(number[0]) for number in numbers if number])
    if len(set(steps)) > 1 and steps.max() >= 2 * steps.min():
        i = int(steps.argmin() if steps.min() <= 0 else steps.argmax())
        raise BadInput(
            f"the slices {files[i]} and {files[i + 1].name} do not follow one another: "
            "add the missing slices, or keep each channel in a folder of its own"
        )


def _three_axes(path: Path, shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 3:
        raise BadInput(f"{path} has shape {shape}: save one volume of three axes per channel")
    return shape


def _positive(sizes: Iterable[Any]) -> Spacing | None:
    """Rounds sizes to the six digits that float32 headers hold; None unless all are positive."""
    rounded = [float(f"{float(size):.6g}") for size in sizes]
    if len(rounded) != 3 or not all(0 < size < np.inf for size in rounded):
        return None
    z, y, x = rounded
    return z, y, x


def format_of(path: Path) -> str:
    """Finds the suffix among `FORMATS` that a name ends with, or nothing.

    >>> format_of(Path("brain.NII.gz")), format_of(Path("notes.txt"))
    ('.nii.gz', '')
    """
    return next((suffix for suffix in FORMATS if path.name.lower().endswith(suffix)), "")


def stem(path: Path) -> str:
    """Gives the name without its suffix.

    >>> stem(Path("a/brain.v2.ome.tif"))
    'brain.v2'
    """
    return path.name if path.is_dir() else path.name[: len(path.name) - len(format_of(path))]


def natural(path: Path) -> list[tuple[int, str]]:
    """Makes a key that sorts numbers within names by their value.

    >>> sorted([Path("slice10"), Path("slice9")], key=natural)[0].name
    'slice9'
    """
    return [(int(n or 0), text) for n, text in re.findall(r"(\d+)|(\D+)", path.name)]
