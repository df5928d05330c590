"""Import: .npz, NIfTI, TIFF stacks and folders of TIFF slices become volumes of a data set."""

from __future__ import annotations

import argparse
import csv
import os
import re
import sys
import time
import xml.etree.ElementTree as ET
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
import tifffile
import zarr
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from vpbsd.data.volumes import SUFFIX, Facts, Spacing, VolumeInfo, check_facts, write_volume
from vpbsd.errors import BadInput

FORMATS = (".npz", ".nii.gz", ".nii", ".ome.tiff", ".ome.tif", ".tiff", ".tif")
COLUMNS = ("file", "group", "spacing", "channel", "label")
UM = {"nm": 1e-3, "mm": 1e3, "meter": 1e6}  # micrometres in one unit
UM |= dict.fromkeys(("um", "µm", "μm", "\\u00B5m", "micron", "microns", "micrometer"), 1.0)
NO_FILE = (OSError, EOFError, ValueError, LookupError)
DAMAGED = (ET.ParseError, zlib.error, zipfile.BadZipFile, tifffile.TiffFileError, ImageFileError)

Unknown = Literal["unknown"]
Planes = Iterator[NDArray[Any]]


@dataclass(frozen=True)
class Stack:
    """Planes that a file or folder holds; only headers are read until they are asked for.

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


@dataclass(frozen=True)
class Stated:
    """What the user states about a volume, in a table's row or for all on the command line."""

    group: str | None = None
    spacing: Spacing | Unknown | None = None
    channel: str | None = None
    label: Path | None = None


@dataclass(frozen=True)
class Source:
    """A volume ready to be imported: everything was checked that costs no full read."""

    name: str
    image: Stack
    label: Stack | None
    facts: Facts


def add_import_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``python -m vpbsd import``."""
    add = parser.add_argument
    add("sources", nargs="+", metavar="SRC", help=".npz, .nii(.gz), .tif, slices, or a folder")
    add("dest", metavar="DEST", help="data folder that the volumes are added to")
    add("--spacing", nargs="+", metavar="Z Y X", help="voxel size in um, or the word unknown")
    add("--group", help="animal or acquisition of all sources (default: each file's name)")
    add("--channel", help="the stain, such as WGA")
    add("--table", help=f"CSV with the columns {', '.join(COLUMNS)}; it overrides these options")
    add("--label-above", type=float, metavar="T", help="label voxels above T are vessels")


def run_import(args: argparse.Namespace) -> None:
    """Runs the import that the command line describes."""
    import_volumes(
        args.sources,
        args.dest,
        spacing=None if args.spacing is None else parse_spacing(" ".join(args.spacing)),
        group=args.group,
        channel=args.channel,
        table=args.table,
        label_above=args.label_above,
    )


def import_volumes(
    sources: Sequence[str | Path],
    dest: str | Path,
    *,
    spacing: Spacing | Unknown | None = None,
    group: str | None = None,
    channel: str | None = None,
    table: str | Path | None = None,
    label_above: float | None = None,
) -> list[VolumeInfo]:
    """Adds volumes to a data set in bounded memory; those already there are left alone.

    A table's cell goes before these arguments, and they go before what a file states. The label
    of ``NAME.tif`` may lie beside it as ``NAME_label.tif``, or in any other format.

    Args:
        sources: Files, folders of slices, or folders of those.
        dest: The data set's folder; made where missing.
        spacing: Voxel size z, y, x in micrometres.
        group: Animal or acquisition; by default each volume is a group of its own.
        channel: The stain.
        table: CSV with the columns file, group, spacing, channel, label; paths from its folder.
        label_above: Label voxels above this are vessels; by default labels are 0 or 1.

    Raises:
        BadInput: Naming the file and the remedy. Nothing is written if a header tells it.
    """
    rows = {} if table is None else read_table(Path(table))
    labels = {path: _label_path(path, rows.get(path, Stated())) for path in _expand(sources)}
    default = Stated(group, spacing, channel)
    checked = [
        _source(path, label, rows.get(path, Stated()), default)
        for path, label in labels.items()
        if path not in labels.values()
    ]
    names = Counter(source.name for source in checked)
    for name, count in names.items():
        if count > 1:
            raise BadInput(f"{count} sources are named {name}: rename them, the name is a key")
    return [
        _import(source, Path(dest), label_above, f"{i}/{len(checked)}")
        for i, source in enumerate(checked, 1)
    ]


def parse_spacing(text: str) -> Spacing | Unknown:
    """Reads "z y x" in micrometres, or "unknown"."""
    if text.strip() == "unknown":
        return "unknown"
    try:
        z, y, x = (float(word) for word in text.split())
    except ValueError:
        raise BadInput(
            f"voxel size '{text}' is not understood: give Z Y X in micrometres, or unknown "
            "(on the command line, write --spacing after DEST)"
        ) from None
    return z, y, x


def read_table(path: Path) -> dict[Path, Stated]:
    """Reads the table of volumes; keys are absolute paths of its files."""
    rows: dict[Path, Stated] = {}
    with _reading(path), path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = set(reader.fieldnames or ())
        if "file" not in columns or columns - set(COLUMNS):
            raise BadInput(
                f"table {path} has the columns {', '.join(reader.fieldnames or ())}: "
                f"use file and any of {', '.join(COLUMNS[1:])}, separated by commas"
            )
        for row in reader:
            cell = {k: (row.get(k) or "").strip() or None for k in COLUMNS}
            place = _absolute(path.parent / (cell["file"] or ""))
            if not cell["file"] or not place.exists() or place in rows:
                problem = "is there twice" if place in rows else "does not exist"
                raise BadInput(f"table {path}, line {reader.line_num}: file {place} {problem}")
            rows[place] = Stated(
                cell["group"],
                parse_spacing(cell["spacing"]) if cell["spacing"] else None,
                cell["channel"],
                _absolute(path.parent / cell["label"]) if cell["label"] else None,
            )
    return rows


def _source(path: Path, label_path: Path | None, row: Stated, default: Stated) -> Source:
    image, label = _open(path)
    if label_path is not None:
        first, second = _open(label_path)
        label = second or first
    if label is not None:
        _check_label(image, label)
    name = _stem(path)
    spacing = row.spacing or default.spacing or image.spacing_um
    if spacing is None:
        raise BadInput(
            f"volume {name} states no voxel size: pass --spacing Z Y X in micrometres, "
            "or --spacing unknown"
        )
    z, y, x = image.shape
    facts = Facts(
        shape=(z, y, x),
        dtype=image.dtype.name,
        spacing_um=None if spacing == "unknown" else spacing,
        group=row.group or default.group or name,
        channel=row.channel or default.channel,
    )
    check_facts(name, facts)
    return Source(name, image, label, facts)


def _check_label(image: Stack, label: Stack) -> None:
    if label.shape != image.shape:
        raise BadInput(
            f"{label.path}: its label has shape {label.shape}, but the image {image.path} has "
            f"{image.shape} (z, y, x): they must cover the same voxels"
        )
    if label.dtype.kind not in "buif":
        raise BadInput(f"{label.path}: a label of type {label.dtype} cannot be used: save 0 and 1")


def _import(source: Source, dest: Path, label_above: float | None, count: str) -> VolumeInfo:
    known = (dest / f"{source.name}{SUFFIX}").exists()
    start = time.perf_counter()
    image = track(
        _slabs(source.image),
        f"{count} {source.name}",
        source.facts.shape[0],
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    label = None if source.label is None else _slabs(source.label)
    try:
        info = write_volume(dest, source.name, image, source.facts, label, label_above)
    except BadInput as error:
        raise BadInput(f"{source.image.path}: {error}") from error
    rate = prod(info.shape) / 1e6 / (time.perf_counter() - start)
    print(f"{count} {_summary(info)}, {'already there' if known else f'{rate:.1f} M voxels/s'}")
    return info


def _summary(info: VolumeInfo) -> str:
    shape = " x ".join(map(str, info.shape))
    spacing = " x ".join(f"{size:g}" for size in info.spacing_um or ())
    label = "no label"
    if info.label_voxels is not None:
        label = f"{100 * info.label_voxels / prod(info.shape):.1f} % vessel"
    size = f"{spacing} um" if spacing else "voxel size unknown"
    return f"{info.name}: {shape} {info.dtype}, {size}, group {info.group}, {label}"


def _slabs(stack: Stack) -> Planes:
    with _reading(stack.path):
        for plane in stack.planes():
            yield plane[np.newaxis]


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except BadInput:
        raise
    except (*NO_FILE, *DAMAGED) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BadInput(f"{path} cannot be read: {reason}") from error


def _expand(sources: Iterable[str | Path]) -> list[Path]:
    """The volumes' paths: a folder stands for the volumes in it; each path once, in order."""
    found: dict[Path, None] = {}
    for path in map(_absolute, sources):
        if not path.exists():
            raise BadInput(f"{path} does not exist: give a file or a folder")
        inside = _inside(path)
        if not inside:
            raise BadInput(f"{path} holds nothing to import: give {', '.join(FORMATS)} files")
        found |= dict.fromkeys(inside)
    return list(found)


def _inside(path: Path) -> list[Path]:
    if path.is_file() or _slice_files(path):
        return [path]
    entries = sorted((p for p in path.iterdir() if not p.name.startswith(".")), key=_natural)
    volumes = [p for p in entries if p.is_dir() or _format(p)]
    return [v for p in volumes if not p.name.endswith(SUFFIX) for v in _inside(p)]


def _label_path(path: Path, row: Stated) -> Path | None:
    if row.label is not None:
        if not row.label.exists():
            raise BadInput(f"label {row.label} of {path} does not exist: mend the table")
        return row.label
    wanted = f"{_stem(path)}_label"
    siblings = [p for p in path.parent.iterdir() if p.name.startswith(wanted)]
    found = [p for p in siblings if _stem(p) == wanted and (p.is_dir() or _format(p))]
    if len(found) > 1:
        names = ", ".join(sorted(p.name for p in found))
        raise BadInput(f"{path} has several labels ({names}): keep one, or name it in a table")
    return found[0] if found else None


def _open(path: Path) -> tuple[Stack, Stack | None]:
    """Image and, where the file itself holds one, label."""
    with _reading(path):
        if path.is_dir():
            return _open_slices(path), None
        kind = _format(path)
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
    """Voxel size, where the unit is stated; 1 x 1 x 1 mm is what other programs write for none."""
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
    files = _slice_files(folder)
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


def _slice_files(folder: Path) -> list[Path]:
    """TIFF files of a folder in natural order, if they are slices (the first one is 2-D)."""
    files = sorted((p for p in folder.iterdir() if _format(p).startswith(".tif")), key=_natural)
    return files if files and len(_slice_header(files[0])[0]) < 3 else []


def _slice_header(path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with _reading(path), tifffile.TiffFile(path) as file:
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
    """Sizes to the six digits that headers in float32 hold; None unless all are positive."""
    rounded = [float(f"{float(size):.6g}") for size in sizes]
    if len(rounded) != 3 or not all(0 < size < np.inf for size in rounded):
        return None
    z, y, x = rounded
    return z, y, x


def _format(path: Path) -> str:
    return next((suffix for suffix in FORMATS if path.name.lower().endswith(suffix)), "")


def _stem(path: Path) -> str:
    return path.name if path.is_dir() else path.name[: len(path.name) - len(_format(path))]


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts slice9 before slice10."""
    return [(int(n or 0), text) for n, text in re.findall(r"(\d+)|(\D+)", path.name)]


def _absolute(path: str | Path) -> Path:
    return Path(os.path.abspath(path))
