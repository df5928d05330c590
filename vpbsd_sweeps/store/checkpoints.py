"""What a running stage keeps in the store, so that a crash costs little: files, rows, notes."""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem

from vpbsd_sweeps.store.files import JSON, FileStore, check_inside, check_key, encode
from vpbsd_sweeps.store.local_files import DRAFT

NO_END = 2**63


class Checkpoints:
    """Files of running stages, by the stage's key, in ``running/<key>/``."""

    def __init__(self, files: FileStore) -> None:
        self._files = files

    def save(self, key: str, files: Mapping[str, Path | bytes]) -> None:
        """Replaces files of a running stage, each in one step, in the order given.

        A local file may be linked, not copied: replace it when it changes, do not write into it.
        """
        for name, content in files.items():
            self._files.write(_place(key, name), content)

    def load(self, key: str, name: str) -> bytes | None:
        """Returns the content of a running stage's file, or None."""
        return self._files.read(_place(key, name))

    def fetch(self, key: str, name: str, to: Path) -> bool:
        """Puts a running stage's file at ``to``, for reading; False where there is none."""
        return self._files.fetch(_place(key, name), to)

    def names(self, key: str) -> list[str]:
        """Returns the sorted names of what a running stage has saved."""
        return sorted(name for name in self._files.sizes(_place(key)) if DRAFT not in name)

    def clear(self, key: str) -> None:
        """Forgets a running stage; a local one vanishes in one step."""
        self._files.remove_folder(_place(key))

    def notes(self, key: str) -> tuple[str, AbstractFileSystem]:
        """Returns a folder for what other programs note of a stage, and its file system."""
        return self._files.path(f"{_place(key)}/notes"), self._files.fs

    def append_rows(self, key: str, index: int, rows: Sequence[Mapping[str, JSON]]) -> None:
        """Saves the rows number ``index``, ``index + 1``, ... of a running stage.

        The same index again replaces its batch. Batches that begin inside this one stem from an
        attempt that was resumed from an earlier row; they go.

        Raises:
            ValueError: The index is negative.
        """
        _check_index(index)
        self._files.write(_batch(key, index), encode(rows))
        for first in self._batches(key):
            if index < first < index + len(rows):
                self._files.remove(_batch(key, first))

    def read_rows(self, key: str, start: int) -> list[dict[str, Any]]:
        """Returns rows from number ``start`` up to the first that is missing.

        A batch counts up to where the next one begins.

        Raises:
            ValueError: The start is negative.
        """
        _check_index(start)
        rows: list[dict[str, Any]] = []
        for first, following in pairwise([*self._batches(key), NO_END]):
            wanted = start + len(rows)
            if following <= wanted:
                continue
            batch = self._files.read(_batch(key, first)) if first <= wanted else None
            if batch is None:
                break
            rows += json.loads(batch)[wanted - first : following - first]
        return rows

    def _batches(self, key: str) -> list[int]:
        names = [name for name in self.names(key) if name.startswith("rows-")]
        return sorted(int(name.removeprefix("rows-").removesuffix(".json")) for name in names)


def _place(key: str, name: str = "") -> str:
    folder = f"running/{check_key(key)}"
    return f"{folder}/{check_inside(name)}" if name else folder


def _batch(key: str, first: int) -> str:
    return _place(key, f"rows-{first}.json")


def _check_index(index: int) -> None:
    if index < 0:
        raise ValueError(f"rows are counted from 0, not {index}")
