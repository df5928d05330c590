"""Folders of TIFF slices: one plane a file, in the order of their numbers, none missing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from vpbsd.data.intake import ome_xml
from vpbsd.data.intake.names import entries, format_of, labelled_stem, refuse_lost
from vpbsd.data.intake.stack import Planes, Stack, reading
from vpbsd.data.intake.tiff import Page, inverted, is_coloured, page_of, refuse_circle
from vpbsd.errors import BadInput

NUMBERS = (r"\d+", r"\d+(?:\.\d+)?")  # whole ones, or else decimals such as 12.50
CLOCK = 6  # digits of a time of day or a date, which need not be even


def open_slices(folder: Path) -> Stack:
    """Opens a folder of slices; the headers of all are read.

    Raises:
        BadInput: A slice is missing, unlike the first, or not one plane; it is named.
    """
    files = slice_files(folder)
    if not files:
        raise BadInput(f"{folder} holds no 2-D TIFF slices")
    first, bits = _header(files[0])
    for file in files:
        page, _ = _header(file)
        if page != first:
            raise BadInput(
                f"{file} is {page}: all slices of a volume must be grey, 2-D and like the first "
                f"({first}); keep each channel in a folder of its own"
            )
    _check_numbers(files)

    def planes() -> Planes:
        for file in files:
            with reading(file):
                read = tifffile.imread(file)
            yield inverted(file, read, bits) if first.white_is_zero else read

    for _ in zip(planes(), range(1), strict=False):
        pass  # a compression that cannot be read is known before anything is written
    assert first.dtype is not None
    shape = (len(files), *first.shape)
    with tifffile.TiffFile(files[0]) as file:
        coloured = is_coloured(file.pages[0].aspage()) and not file.is_imagej
    return Stack(
        folder,
        shape,
        first.dtype,
        None,
        planes,
        inverted=first.white_is_zero,
        coloured=coloured,
    )


def slice_files(folder: Path) -> list[Path]:
    """Lists the TIFF files of a folder in natural order, if they are slices (the first is 2-D)."""
    every = [p for p in entries(folder) if format_of(p).endswith((".tif", ".tiff"))]
    refuse_lost(every)
    files = [p for p in every if p.is_file()]
    return files if files and _is_slice(files[0]) else []


def _is_slice(path: Path) -> bool:
    with reading(path), tifffile.TiffFile(path, _multifile=False) as file:
        refuse_circle(path, file)
        if file.ome_metadata and len(ome_xml.files(file.ome_metadata)) > 1:
            return False  # a plane of a set that the XML puts in order
        if file.ome_metadata and ome_xml.described_elsewhere(file.ome_metadata):
            return False
        return len(file.series[0].shape) < 3 and len(file.pages) == 1


def _header(path: Path) -> tuple[Page, int]:
    with reading(path), tifffile.TiffFile(path) as file:
        refuse_circle(path, file)
        if len(file.pages) != 1:
            raise BadInput(f"{path} has {len(file.pages)} pages: a slice of a volume has one")
        page = page_of(path, 0, file.pages[0])
        if len(page.shape) != 2:
            raise BadInput(
                f"{path} has the axes {file.series[0].axes} and shape {page.shape}: save one grey "
                "stack (ZYX) per channel"
            )
        return page, int(file.pages[0].bitspersample)


def _check_numbers(files: Sequence[Path]) -> None:
    """Refuses slices of which one is missing, or named unlike the rest, and mixed channels."""
    names = [file.name[: len(file.name) - len(format_of(file))] for file in files]
    shapes = Counter(re.sub(r"\d+", "#", name) for name in names)
    usual, count = shapes.most_common(1)[0]
    for file, name in zip(files, names, strict=True):
        if labelled_stem(name) in names:
            raise BadInput(f"{file} is named as another slice's label: keep labels in a folder")
    if 1 < count < len(files):
        odd = next(f for f, n in zip(files, names, strict=True) if re.sub(r"\d+", "#", n) != usual)
        raise BadInput(
            f"the slice {odd} is named unlike the others of its folder ({usual}): take it out, or "
            "keep each channel in a folder of its own"
        )
    jumps = [_jump(names, number) for number in NUMBERS]
    if all(jump is not None for jump in jumps) and jumps[0] is not None:
        i = jumps[0]
        raise BadInput(
            f"the slices {files[i]} and {files[i + 1].name} do not follow one another: "
            "add the missing slices, or keep each channel in a folder of its own"
        )


def _jump(names: Sequence[str], number: str) -> int | None:
    """Finds where a column of numbers jumps (one is missing) or repeats (channels are mixed)."""
    found = [re.findall(number, name) for name in names]
    if len({len(row) for row in found}) != 1 or len(found) < 2:
        return None
    steps = np.diff([[float(word) for word in row] for row in found], axis=0)
    varying = [i for i, column in enumerate(steps.T) if column.any()]
    odd = [i for i in varying if not _is_even(steps[:, i])]
    for i in odd:
        long = min(len(row[i]) for row in found) >= CLOCK
        if len(odd) < len(varying) and long and _is_clock(steps[:, i]):
            continue
        column = steps[:, i]
        return int(column.argmin() if column.min() <= 0 else column.argmax())
    return None


def _is_even(steps: NDArray[np.float64]) -> bool:
    """Tells whether steps differ by rounding at most: of places in tenths of a micrometre."""
    return len(set(steps)) < 2 or bool(steps.max() < 2 * steps.min())


def _is_clock(steps: NDArray[np.float64]) -> bool:
    """Tells a time of day, which goes on unevenly, from a count with a gap."""
    return bool(steps.min() >= 0 and len(set(steps)) > len(steps) / 2)
