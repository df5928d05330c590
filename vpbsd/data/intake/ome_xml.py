"""What the XML of an OME-TIFF says: files, planes, voxel size."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import tifffile

from vpbsd.data.intake.voxel_sizes import UM, positive
from vpbsd.data.volumes import Spacing
from vpbsd.errors import BadInput


def files(xml: str) -> tuple[str, ...]:
    """Lists the files that a series lies in, in the order of its planes; none if it is one."""
    found = (node.get("FileName") for node in ET.fromstring(xml).iterfind(".//{*}UUID"))
    return tuple(dict.fromkeys(name for name in found if name))


def check_files(path: Path, xml: str) -> None:
    """Refuses a set of files of which some are not there, or that others describe.

    Raises:
        BadInput: Naming the file.
    """
    elsewhere = described_elsewhere(xml)
    if elsewhere:
        raise BadInput(
            f"{path} is part of a set that {elsewhere} describes: give that file if it is a TIFF, "
            "or save the set as one OME-TIFF"
        )
    missing = [name for name in files(xml) if not (path.parent / name).exists()]
    if missing == list(files(xml)) and len(missing) == 1:
        return  # one file that was renamed
    if not missing:
        _check_readable(path, files(xml))
    else:
        raise BadInput(
            f"{path} belongs to a set of {len(files(xml))} files, of which {missing[0]} "
            f"{f'and {len(missing) - 1} more are' if len(missing) > 1 else 'is'} missing in "
            f"{path.parent}: copy the whole set"
        )


def _check_readable(path: Path, names: Sequence[str]) -> None:
    """Refuses a set of which a file is no TIFF: its planes would be read as zeros."""
    for name in names if len(names) > 1 else ():
        try:
            tifffile.TiffFile(path.parent / name, _multifile=False).close()
        except (OSError, tifffile.TiffFileError) as error:
            raise BadInput(
                f"{path.parent / name} cannot be read: {error}: copy the whole set again"
            ) from error


def described_elsewhere(xml: str) -> str:
    """Gives the file that describes the set which this file is part of; nothing if it does."""
    node = ET.fromstring(xml).find(".//{*}BinaryOnly")
    return "" if node is None else node.get("MetadataFile", "another file")


def spacing(xml: str, image: int) -> Spacing | None:
    """Reads the voxel size z, y, x of an image, in micrometres; None where it is not stated."""
    every = ET.fromstring(xml).findall(".//{*}Pixels")
    if not every:
        return None
    pixels = every[min(image, len(every) - 1)]
    names = [f"PhysicalSize{axis}" for axis in "ZYX"]
    units = [UM.get(pixels.get(f"{name}Unit", "µm"), 0.0) for name in names]
    sizes = [float(pixels.get(name, 0)) for name in names]
    return positive([size * unit for size, unit in zip(sizes, units, strict=True)])
