"""Where a graph grows: its folder, the blocks that are finished, and whose they are."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from vpbsd.data.volumes import Slices
from vpbsd.drafts import draft_of
from vpbsd.errors import BadInput
from vpbsd.graphs.block import Skeleton
from vpbsd.graphs.pieces import Pieces

SUMMARY = "summary.json"


class Workplace:
    """The folder of a graph. It is whole once it holds `SUMMARY`, which is written last.

    Args:
        out: The folder, made or continued.
        source: All that the graph depends on, as JSON.

    Raises:
        BadInput: Something else lies there.
    """

    def __init__(self, out: Path, source: dict[str, Any]) -> None:
        self._out, self._blocks, self._source = out, out / ".blocks", source
        begun = self._blocks / "source.json"
        known = _read(out / SUMMARY).get("source") if self.whole else _read(begun)
        if out.exists() and known != source:
            raise BadInput(
                f"{out} exists and is no graph of this mask with these settings: choose another "
                "name, or delete it"
            )
        if self.whole:
            shutil.rmtree(self._blocks, ignore_errors=True)  # who finished it may have been killed
        else:
            self._blocks.mkdir(parents=True, exist_ok=True)
            _write(begun, source)

    @property
    def whole(self) -> bool:
        """Whether the graph is there."""
        return (self._out / SUMMARY).exists()

    def finished(self, block: Slices) -> bool:
        """Tells whether a block is there."""
        return self.place(block).exists()

    def place(self, block: Slices) -> Path:
        """Gives the file of a block."""
        return self._blocks / ("-".join(str(b.start) for b in block) + ".npz")

    def places(self) -> list[Path]:
        """Lists the files of all finished blocks."""
        return sorted(self._blocks.glob("[0-9]*.npz"))

    def finish(self, summary: dict[str, Any]) -> None:
        """Writes the summary, and removes the blocks."""
        _write(self._out / SUMMARY, {**summary, "source": self._source})
        shutil.rmtree(self._blocks)

    def summary(self) -> dict[str, Any]:
        """Reads the summary."""
        read: dict[str, Any] = _read(self._out / SUMMARY)
        return read


def save_block(place: Path, skeleton: Skeleton, pieces: Pieces) -> None:
    """Writes what was found in a block; it appears once it is whole."""
    found = {field.name: getattr(pieces, field.name) for field in fields(Pieces)}
    counts = [skeleton.vessel, skeleton.left_out, skeleton.in_doubt]
    with draft_of(place) as draft:
        np.savez(draft, counts=counts, **found)


def load_blocks(places: list[Path]) -> list[tuple[Pieces, list[int]]]:
    """Reads blocks: their pieces, and how many voxels are vessel, left out, and in doubt.

    Raises:
        BadInput: Some are damaged; they are deleted.
    """
    found, damaged = [], []
    for place in places:
        try:
            with place.open("rb") as file, np.load(file) as stored:
                pieces = Pieces(**{f.name: stored[f.name] for f in fields(Pieces)})
                found.append((pieces, stored["counts"].tolist()))
        except (BadZipFile, EOFError, KeyError, ValueError):
            damaged.append(place)
    for place in damaged:
        place.unlink()
    if damaged:
        raise BadInput(
            f"{len(damaged)} blocks were damaged ({damaged[0]}) and are deleted: give the command "
            "again, which computes them anew"
        )
    return found


def _read(path: Path) -> Any:  # noqa: ANN401 (JSON)
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def _write(path: Path, content: dict[str, Any]) -> None:
    with draft_of(path) as draft:
        draft.write_text(json.dumps(content, indent=1), "utf-8")
