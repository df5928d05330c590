"""What the user states of volumes: in a table's rows, or for all of them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vpbsd.data.intake.finding import Found, absolute, on_disk, real
from vpbsd.data.intake.stack import reading
from vpbsd.data.volumes import Spacing
from vpbsd.errors import BadInput
from vpbsd.spelling import unprintable

COLUMNS = ("file", "group", "spacing", "channel", "label")

Unknown = Literal["unknown"]


@dataclass(frozen=True)
class Stated:
    """What the user states about a volume, in a table's row or for all on the command line."""

    group: str | None = None
    spacing: Spacing | Unknown | None = None
    channel: str | None = None
    label: Path | None = None


def parse_spacing(text: str) -> Spacing | Unknown:
    """Reads "z y x" in micrometres, one number for all three, or "unknown".

    >>> parse_spacing("3 1.625 1.625")
    (3.0, 1.625, 1.625)

    Raises:
        BadInput: It is none of them.
    """
    if text.strip() == "unknown":
        return "unknown"
    try:
        words = [float(word) for word in text.split()]
        z, y, x = words * 3 if len(words) == 1 else words
    except ValueError:
        raise BadInput(
            f"voxel size '{text}' is not understood: give Z Y X in micrometres, or unknown "
            "(on the command line, write --spacing after DEST)"
        ) from None
    return z, y, x


def read_table(path: Path) -> dict[str, Stated]:
    """Reads the table of volumes; keys are the real paths of its files, links followed.

    Raises:
        BadInput: A column is unknown, or a file is missing or named twice.
    """
    rows: dict[str, Stated] = {}
    with reading(path), path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, strict=True)
        named = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames, columns = named, set(named)
        if "file" not in columns or columns - set(COLUMNS) or len(columns) < len(named):
            raise BadInput(
                f"table {path} has the columns {', '.join(named)}: "
                f"use file and any of {', '.join(COLUMNS[1:])}, each once, separated by commas"
            )
        for row in reader:
            if None in row or any(row[name] is None for name in columns):
                raise BadInput(
                    f"table {path}, line {reader.line_num} has not as many cells as there are "
                    "columns: put a cell that holds a comma in quotes"
                )
            if any(unprintable(cell) for cell in row.values()):
                raise BadInput(f"table {path}, line {reader.line_num}: a cell holds a line break")
            cell = {k: (row.get(k) or "").strip() or None for k in COLUMNS}
            place = on_disk(absolute(path.parent / (cell["file"] or "")))
            key = real(place)
            if not cell["file"] or not place.exists() or key in rows:
                problem = "is there twice" if key in rows else "does not exist"
                raise BadInput(f"table {path}, line {reader.line_num}: file {place} {problem}")
            rows[key] = Stated(
                cell["group"],
                parse_spacing(cell["spacing"]) if cell["spacing"] else None,
                cell["channel"],
                on_disk(absolute(path.parent / cell["label"])) if cell["label"] else None,
            )
    return rows


def refuse_unmatched(table: Path, rows: Mapping[str, Stated], images: Iterable[Found]) -> None:
    """Refuses a table some of whose rows are of no source that is an image.

    Raises:
        BadInput: Naming the first.
    """
    sources = {one.real for one in images}
    left = [row for row in rows if row not in sources]
    if left:
        more = f" and {len(left) - 1} more rows" if len(left) > 1 else ""
        raise BadInput(
            f"table {table}: {left[0]}{more} is among none of the sources, or is another's label: "
            "give it, or take the row out"
        )
