"""Two results of one stage, side by side: which files are the same, which numbers differ."""

from __future__ import annotations

import filecmp
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OF_THE_RUN = ("time",)
"""Fields of rows that say when a row was made; they always differ."""
STAGE = "stage.json"
"""Names the volumes' places too; the key says that the stages are the same."""


@dataclass(frozen=True)
class Comparison:
    """How a new result differs from the stored one.

    Attributes:
        files: Files of the new result that have other content than the stored ones, or are new.
        equal: Those that have the same bytes, or the same numbers in JSON.
        numbers: Place of each number that differs -> (stored, new).
    """

    files: tuple[str, ...]
    equal: tuple[str, ...]
    numbers: dict[str, tuple[Any, Any]]

    @property
    def same(self) -> bool:
        """True if nothing differs."""
        return not self.files

    def lines(self) -> Iterator[str]:
        """Yields the comparison as people read it."""
        yield from (f"same     {name}" for name in self.equal)
        yield from (f"differs  {name}" for name in self.files)
        for place, (stored, new) in self.numbers.items():
            yield f"  {place}: {stored} stored, {new} now"


def compare(stored: Path, new: Path) -> Comparison:
    """Compares two folders of results, file by file of the new one."""
    files: list[str] = []
    equal: list[str] = []
    numbers: dict[str, tuple[Any, Any]] = {}
    for path in sorted(p for p in new.rglob("*") if p.is_file()):
        name = path.relative_to(new).as_posix()
        other = stored / name
        if name == STAGE:
            continue
        if other.is_file() and filecmp.cmp(path, other, shallow=False):
            equal.append(name)
            continue
        found = _differing_numbers(other, path)
        numbers |= {f"{name} {place}": pair for place, pair in found.items()}
        same_numbers = path.suffix == ".json" and other.is_file() and not found
        (equal if same_numbers else files).append(name)
    return Comparison(tuple(files), tuple(equal), numbers)


def _differing_numbers(stored: Path, new: Path) -> dict[str, tuple[Any, Any]]:
    if new.suffix != ".json" or not stored.is_file():
        return {}
    before, now = (dict(_flat(json.loads(p.read_text()))) for p in (stored, new))
    return {
        place: (before.get(place), now.get(place))
        for place in sorted({*before, *now})
        if before.get(place) != now.get(place)
    }


def _flat(value: object, place: str = "") -> Iterator[tuple[str, object]]:
    """Yields every plain value of nested lists and dictionaries with its place."""
    if isinstance(value, dict):
        items: Any = [(k, v) for k, v in value.items() if k not in OF_THE_RUN]
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        yield place, value
        return
    for key, inner in items:
        yield from _flat(inner, f"{place}.{key}".lstrip("."))
