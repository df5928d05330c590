"""Import: files that hold stacks, and what a user states about them, become a data set."""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console
from rich.progress import track

from vpbsd.data.stacks import (
    FORMATS,
    Planes,
    Stack,
    format_of,
    natural,
    open_stack,
    reading,
    slice_files,
    stem,
)
from vpbsd.data.volume_checks import VolumeMetadata, check_metadata
from vpbsd.data.volume_writer import write_volume
from vpbsd.data.volumes import SUFFIX, Spacing, VolumeInfo
from vpbsd.errors import BadInput

COLUMNS = ("file", "group", "spacing", "channel", "label")

Unknown = Literal["unknown"]


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
    metadata: VolumeMetadata


def add_import_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``vpbsd import`` to a parser."""
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
    """Reads "z y x" in micrometres, or "unknown".

    >>> parse_spacing("3 1.625 1.625")
    (3.0, 1.625, 1.625)

    Raises:
        BadInput: It is neither.
    """
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
    """Reads the table of volumes; keys are absolute paths of its files.

    Raises:
        BadInput: A column is unknown, or a file is missing or named twice.
    """
    rows: dict[Path, Stated] = {}
    with reading(path), path.open(newline="", encoding="utf-8-sig") as file:
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
    image, label = open_stack(path)
    if label_path is not None:
        first, second = open_stack(label_path)
        label = second or first
    if label is not None:
        _check_label(image, label)
    name = stem(path)
    spacing = row.spacing or default.spacing or image.spacing_um
    if spacing is None:
        raise BadInput(
            f"volume {name} states no voxel size: pass --spacing Z Y X in micrometres, "
            "or --spacing unknown"
        )
    z, y, x = image.shape
    metadata = VolumeMetadata(
        shape=(z, y, x),
        dtype=image.dtype.name,
        spacing_um=None if spacing == "unknown" else spacing,
        group=row.group or default.group or name,
        channel=row.channel or default.channel,
    )
    check_metadata(name, metadata)
    return Source(name, image, label, metadata)


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
        source.metadata.shape[0],
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    label = None if source.label is None else _slabs(source.label)
    try:
        info = write_volume(dest, source.name, image, source.metadata, label, label_above)
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
    with reading(stack.path):
        for plane in stack.planes():
            yield plane[np.newaxis]


def _expand(sources: Iterable[str | Path]) -> list[Path]:
    """Lists the volumes' paths: a folder stands for the volumes in it; each once, in order."""
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
    if path.is_file() or slice_files(path):
        return [path]
    entries = sorted((p for p in path.iterdir() if not p.name.startswith(".")), key=natural)
    volumes = [p for p in entries if p.is_dir() or format_of(p)]
    return [v for p in volumes if not p.name.endswith(SUFFIX) for v in _inside(p)]


def _label_path(path: Path, row: Stated) -> Path | None:
    if row.label is not None:
        if not row.label.exists():
            raise BadInput(f"label {row.label} of {path} does not exist: correct the table")
        return row.label
    wanted = f"{stem(path)}_label"
    siblings = [p for p in path.parent.iterdir() if p.name.startswith(wanted)]
    found = [p for p in siblings if stem(p) == wanted and (p.is_dir() or format_of(p))]
    if len(found) > 1:
        names = ", ".join(sorted(p.name for p in found))
        raise BadInput(f"{path} has several labels ({names}): keep one, or name it in a table")
    return found[0] if found else None


def _absolute(path: str | Path) -> Path:
    return Path(os.path.abspath(path))
