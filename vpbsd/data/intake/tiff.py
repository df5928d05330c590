"""TIFF files that hold stacks: plain, tiled, ImageJ's, OME's; every page is accounted for."""

from __future__ import annotations

import logging
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

from vpbsd.data.intake import ome_xml
from vpbsd.data.intake.stack import Opened, Planes, Stack, refuse_absent, select
from vpbsd.data.intake.voxel_sizes import UM, positive
from vpbsd.data.volumes import Spacing
from vpbsd.errors import BadInput

PLANE_AXES = "IQ"  # tifffile's names for pages of which nothing is said
REDUCED = 1  # NewSubfileType of a page that is a smaller copy of another
WHITE_IS_ZERO, PALETTE = 0, 3
PRIVATE = 32768  # numbers of tags from here on are programs' own


@dataclass(frozen=True)
class Page:
    """What must be alike on all pages of a stack."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None
    photometric: int

    def __str__(self) -> str:
        return f"{self.shape} {self.dtype}" + (", white is zero" * self.white_is_zero)

    @property
    def white_is_zero(self) -> bool:
        """Whether a low value means bright."""
        return self.photometric == WHITE_IS_ZERO


def open_tiff(path: Path, take: Mapping[str, int]) -> tuple[Opened, ...]:
    """Opens the stacks of a TIFF file, one per position; OME's may go on in files beside it.

    Raises:
        BadInput: Pages are missing, cut off, unlike one another or left over; or it holds
            channels or times of which none was chosen.
    """
    with _complaints(path), tifffile.TiffFile(path) as file:
        refuse_circle(path, file)
        if file.ome_metadata:
            ome_xml.check_files(path, file.ome_metadata)
        elif "<OME " in str(file.pages[0].aspage().description):
            raise BadInput(f"{path}: its OME-XML is damaged: copy the file again, or save it anew")
        pages = [page_of(path, i, page) for i, page in enumerate(file.pages) if _is_full(page)]
        series = [(i, one) for i, one in enumerate(file.series) if _is_full(one.keyframe)]
        if file.ome_metadata:
            _refuse_unnamed(path, file)
        else:
            _refuse_left_over(path, file, pages)
        several = len(series) > 1
        if not several and take.get("p"):
            raise BadInput(f"{path} has one position: p={take['p']} is none")
        if several and "p" in take:
            series = [one for one in series if one[0] == take["p"]]
            if not series:
                raise BadInput(f"{path} has {len(file.series)} positions: p={take['p']} is none")
        return tuple(
            Opened(_stack(path, file, index, take), position=f"_p{index}" if several else "")
            for index, _ in series
        )


def _stack(path: Path, file: tifffile.TiffFile, index: int, take: Mapping[str, int]) -> Stack:
    series = file.series[index]
    axes, shape = _axes(path, series, len(file.series) > 1)
    refuse_absent(path, axes, take)
    chosen = select(path, axes, shape, take)
    _refuse_missing(path, file, series)
    pages = [page_of(path, i, page) for i, page in enumerate(series.pages)]
    _refuse_unlike(path, pages)
    page = pages[0]
    depth, *plane = (n for n, i in zip(shape, chosen, strict=True) if isinstance(i, slice))
    dtype, bits = np.dtype(series.dtype), series.keyframe.bitspersample

    def planes() -> Planes:
        with tifffile.TiffFile(path) as file, file.series[index].aszarr(level=0) as store:
            array: Any = zarr.open_array(store, mode="r")
            at = chosen.index(slice(None))
            for z in range(depth):
                read = np.asarray(array[(*chosen[:at], z, *chosen[at + 1 :])])
                yield inverted(path, read, bits) if page.white_is_zero else read

    next(planes())  # a compression that cannot be read is known before anything is written
    spacing = ome_xml.spacing(file.ome_metadata, index) if file.ome_metadata else _imagej(file)
    return Stack(
        path,
        (depth, *plane),
        dtype,
        spacing,
        planes,
        inverted=page.white_is_zero,
        coloured=is_coloured(series.keyframe) and not file.is_imagej,
    )


@contextmanager
def _complaints(path: Path) -> Iterator[None]:
    """Refuses a file of which tifffile only logs that something in it is broken."""
    found: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            message = record.getMessage()
            private = re.search(r"TiffTag (\d+)", message)
            if record.levelno >= logging.ERROR and not (private and int(private[1]) >= PRIVATE):
                found.append(" ".join(message.split()))

    logger, keep = logging.getLogger("tifffile"), Keep()
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    logger.addHandler(keep)
    try:
        yield
    finally:
        logger.removeHandler(keep)
        logger.setLevel(level)
        logger.propagate = propagate
    if found:
        raise BadInput(f"{path} is damaged, or was cut off ({found[0]}): copy it again")


def refuse_circle(path: Path, file: tifffile.TiffFile) -> None:
    """Refuses a file whose pages lead back to earlier ones: libraries would read it for ever."""
    raw, form, seen = file.filehandle, file.tiff, set[int]()
    at = file.pages.first.offset
    while at and at + form.tagnosize <= raw.size:
        if at in seen:
            raise BadInput(f"{path} is damaged: its pages lead in a circle: copy it again")
        seen.add(at)
        raw.seek(at)
        (tags,) = struct.unpack(form.tagnoformat, raw.read(form.tagnosize))
        raw.seek(at + form.tagnosize + tags * form.tagsize)
        following = raw.read(form.offsetsize)
        full = len(following) == form.offsetsize
        (at,) = struct.unpack(form.offsetformat, following) if full else (0,)


def is_coloured(page: tifffile.TiffPage) -> bool:
    """Tells whether a page's values are numbers of colours, and not grey levels."""
    if int(page.photometric) != PALETTE or page.colormap is None:
        return False
    red, green, blue = np.asarray(page.colormap, np.int64)
    grey = (red == green).all() and (green == blue).all()
    return not (grey and (np.diff(red) >= 0).all())


def _axes(
    path: Path, series: tifffile.TiffPageSeries, several: bool
) -> tuple[str, tuple[int, ...]]:
    """Gives the axes of a series; pages of which nothing is said are planes."""
    axes, shape = series.axes, tuple(series.shape)
    if axes == "YX":
        remedy = "save them as one stack" if several else "give the folder that holds the slices"
        raise BadInput(f"{path} holds 2-D slices, not a stack: {remedy}")
    unnamed = [i for i, axis in enumerate(axes) if axis in PLANE_AXES and shape[i] > 1]
    if "Z" not in axes and len(unnamed) == 1:
        axes = axes[: unnamed[0]] + "Z" + axes[unnamed[0] + 1 :]
    return axes.replace("S", "C").lower(), shape


def page_of(path: Path, number: int, page: tifffile.TiffPage) -> Page:
    """Reads what must be alike on all pages, and checks that a page's data lie within the file.

    Raises:
        BadInput: The page has no data, or the file ends before they do.
    """
    page = page.aspage()
    path = path.parent / page.parent.filehandle.name  # of the set's files, the one that holds it
    size = page.parent.filehandle.size
    counts, offsets = page.databytecounts, page.dataoffsets
    if not counts or 0 in counts:
        raise BadInput(f"{path}: page {number + 1} holds no data: the file is not complete")
    if max(o + n for o, n in zip(offsets, counts, strict=True)) > size:
        raise BadInput(f"{path}: page {number + 1} ends beyond the file: it was cut off")
    return Page(tuple(page.shape), page.dtype, int(page.photometric))


def _is_full(page: tifffile.TiffPage) -> bool:
    """Tells a page from a smaller copy of another page."""
    return not page.aspage().subfiletype & REDUCED


def _refuse_left_over(path: Path, file: tifffile.TiffFile, pages: list[Page]) -> None:
    """Refuses a stack whose pages are unlike: libraries would leave the odd ones out."""
    _refuse_unlike(path, pages)
    declared = (file.imagej_metadata or {}).get("images", 1)
    if len(pages) > 1 and declared not in (1, len(pages)):
        raise BadInput(f"{path} says that it has {declared} planes, but it has {len(pages)}")
    full = [one for one in file.series if _is_full(one.keyframe)]
    if len(full) > 1:
        raise BadInput(
            f"{path} holds {len(full)} stacks of shapes "
            f"{', '.join(str(tuple(one.shape)) for one in full)}: save one per file"
        )


def _refuse_unnamed(path: Path, file: tifffile.TiffFile) -> None:
    """Refuses an OME-TIFF whose XML leaves pages out, gives one twice, or cannot be followed."""
    if any(one.kind != "ome" for one in file.series):
        raise BadInput(f"{path}: its OME-XML and its pages do not fit: save it anew")
    pages = [page for one in file.series for page in one.pages if page is not None]
    here = [page.offset for page in pages if page.parent is file]
    there = {page.aspage().offset for page in file.pages if _is_full(page)}
    if len(set(here)) != len(here):
        raise BadInput(f"{path}: its OME-XML gives one page for two planes: save it anew")
    if there - set(here):
        raise BadInput(
            f"{path} has {len(there)} pages, but its OME-XML names {len(set(here))} of them as "
            "planes: save it anew"
        )


def _refuse_unlike(path: Path, pages: Sequence[Page]) -> None:
    for i, page in enumerate(pages):
        if page != pages[0]:
            raise BadInput(
                f"{path}: page {i + 1} of {len(pages)} is {page}, but the first is {pages[0]}: "
                "all pages of a stack must be alike"
            )


def _refuse_missing(path: Path, file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    """Refuses a series with fewer pages in the file than it declares; they would become zeros."""
    plane = prod(series.keyframe.shape)
    declared = prod(series.shape) // plane
    held = sum(page is not None for page in series.pages)
    if held == 1 and declared > 1:  # one page stands for planes that follow it without pages
        data = file.filehandle.size - series.keyframe.dataoffsets[0]
        held = min(declared, data // (plane * np.dtype(series.dtype).itemsize))
    if held != declared:
        raise BadInput(
            f"{path} says that it has {declared} planes, but {held} are there: copy it again, or "
            "save what there is as a stack of its own"
        )


def inverted(path: Path, plane: NDArray[Any], bits: int) -> NDArray[Any]:
    """Turns values round whose file says that white is zero.

    Raises:
        BadInput: They are no whole numbers from 0 on.

    >>> inverted(Path("a.tif"), np.array([0, 200], np.uint8), 8).tolist()
    [255, 55]
    """
    if plane.dtype.kind != "u":
        raise BadInput(f"{path} says that white is zero, of values {plane.dtype}: save black as 0")
    return np.asarray(plane.dtype.type((1 << bits) - 1) - plane)


def _imagej(file: tifffile.TiffFile) -> Spacing | None:
    about, tags = file.imagej_metadata or {}, file.pages[0].tags
    if about.get("unit") not in UM or "spacing" not in about or "YResolution" not in tags:
        return None
    (y, per_y), (x, per_x) = tags["YResolution"].value, tags["XResolution"].value
    inverse = (about["spacing"], per_y / y if y else 0, per_x / x if x else 0)
    units = [about.get(name, about["unit"]) for name in ("zunit", "yunit", "unit")]
    return positive([size * UM.get(unit, 0) for size, unit in zip(inverse, units, strict=True)])
