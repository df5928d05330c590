"""NRRD and MetaImage files, through SimpleITK, which comes with the extra `itk`."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vpbsd.data.intake.stack import Planes, Stack, refuse_absent, select
from vpbsd.data.intake.voxel_sizes import UM, positive
from vpbsd.errors import BadInput

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813 - as its documentation calls it
else:
    try:
        import SimpleITK as sitk  # noqa: N813 - as its documentation calls it
    except ImportError:  # the extra
        sitk = None

HEADER = 1 << 16  # bytes that hold any header of these formats
UNITS = re.compile(rb"^(?:space units|units):(.*)$", re.MULTILINE)
PLAIN = re.compile(
    rb"^(?:encoding:\s*raw|CompressedData\s*=\s*False)", re.MULTILINE | re.IGNORECASE
)
PACKED = re.compile(rb"^CompressedData\s*=\s*True", re.MULTILINE | re.IGNORECASE)
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # ITK's places are left-posterior-superior


def open_itk(path: Path, take: Mapping[str, int]) -> Stack:
    """Opens a NRRD or MetaImage file; its voxel size counts only where it states a unit.

    Raises:
        BadInput: SimpleITK is not installed, or the file holds no grey volume.
    """
    if sitk is None:
        raise BadInput(f"{path} needs SimpleITK: pip install 'vpbsd[itk]'")
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:  # its first line is a place in C++
        raise BadInput(f"{path} cannot be read: {str(error).splitlines()[-1]}") from error
    sizes, channels = reader.GetSize(), reader.GetNumberOfComponents()
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes = sizes[:-1]
    axes = "t" * (len(sizes) > 3) + "zyx"[-len(sizes) :] + "c" * (channels > 1)
    shape = (*sizes[::-1], *([channels] if channels > 1 else []))
    refuse_absent(path, axes, take)
    index = select(path, axes, shape, take)
    z, y, x = sizes[2::-1]

    def volume(first: int, count: int) -> NDArray[Any]:
        extent = [*sizes[:2], count, *reader.GetSize()[3:]]
        start = [0, 0, first, *[0] * (len(extent) - 3)]
        for i in range(3, len(extent)):
            start[i], extent[i] = take.get("t", 0), 1
        reader.SetExtractIndex(start)
        reader.SetExtractSize(extent)
        try:
            array = sitk.GetArrayFromImage(reader.Execute())
        except RuntimeError as error:
            raise BadInput(f"{path} cannot be read: {str(error).splitlines()[-1]}") from error
        array = array[..., index[-1]] if channels > 1 else array
        return np.asarray(array).reshape(count, y, x)

    def planes() -> Planes:
        if not PLAIN.search(head):
            yield from volume(0, z)  # compressed: its planes cannot be reached one by one
            return
        for k in range(z):
            yield from volume(k, 1)

    head = _head(path)
    _check_packed(path, head)
    scale = UM.get(_unit(head))
    spacing = reader.GetSpacing()[2::-1]
    dtype = next(iter(volume(0, 1))).dtype
    return Stack(
        path,
        (z, y, x),
        dtype,
        positive([side * scale for side in spacing]) if scale else None,
        planes,
        affine=_affine(reader, scale or 1.0),
        frame="anatomical",
        in_um=bool(scale),
    )


def _unit(head: bytes) -> str:
    """Reads the unit of the axes; nothing where none is stated, or they have several."""
    found = UNITS.search(head)
    words = re.findall(r'"([^"]*)"', found[1].decode(errors="replace")) if found else []
    units = {word for word in words if word}
    return units.pop() if len(units) == 1 else ""


def _check_packed(path: Path, head: bytes) -> None:
    """Unpacks the voxels of a MetaImage once: ITK reads damaged ones as they come, and goes on."""
    place = re.search(rb"^ElementDataFile\s*=\s*(\S+).*?\n", head, re.MULTILINE)
    if place is None or not PACKED.search(head):
        return
    local = place[1].upper() == b"LOCAL"
    packed, unpack = path if local else path.parent / place[1].decode(), zlib.decompressobj()
    with packed.open("rb") as file:
        file.seek(place.end() if local else 0)
        while (block := file.read(HEADER)) and not unpack.eof:
            unpack.decompress(block)
    if not unpack.eof:
        raise BadInput(f"{packed} was cut off: copy it again")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEADER)


def _affine(reader: sitk.ImageFileReader, scale: float) -> NDArray[np.float64]:
    """Makes the affine from voxel (z, y, x) to right-anterior-superior places."""
    n = reader.GetDimension()
    direction = np.array(reader.GetDirection()).reshape(n, n)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = direction * np.array(reader.GetSpacing()[:3])
    affine[:3, 3] = reader.GetOrigin()[:3]
    return np.asarray(np.diag([scale] * 3 + [1.0]) @ TO_RAS @ affine[:, [2, 1, 0, 3]])
