"""What studies keep in the store: small JSON files, journals, and the claim on a name."""

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from vpbsd.errors import BadInput
from vpbsd.section import canonical
from vpbsd_sweeps.patience import asks_store
from vpbsd_sweeps.store.files import JSON, FileStore, check_inside, encode

log = logging.getLogger(__name__)
FENCE = "fence"
"""Field of a journal's entries: the fencing number of the driver that wrote it."""


class Studies:
    """Files of studies, as ``<study>/<file>`` below ``studies/``."""

    def __init__(self, files: FileStore) -> None:
        self._files = files
        self._fences: dict[str, Callable[[], int]] = {}

    @contextmanager
    def guarded(self, study: str, fence: Callable[[], int]) -> Iterator[None]:
        """Asks for the fencing number before each write of a study's files, while the block runs.

        Args:
            study: Its name.
            fence: Raises where the study is another driver's by now: then nothing is written.
        """
        self._fences[study] = fence
        try:
            yield
        finally:
            del self._fences[study]

    def _fence(self, path: str) -> int | None:
        fence = self._fences.get(path.partition("/")[0])
        return fence() if fence else None

    def names(self) -> list[str]:
        """Returns the sorted names of the studies that were started here."""
        return sorted({name.partition("/")[0] for name in self._files.sizes("studies")})

    def write_json(self, path: str, value: Mapping[str, JSON]) -> None:
        """Replaces a small file of a study in one step."""
        self._fence(path)
        self._files.write(_place(path), encode(value))

    def read_json(self, path: str) -> dict[str, Any] | None:
        """Reads what ``write_json`` put at this path; None where nothing is."""
        text = self._files.read(_place(path))
        value: dict[str, Any] | None = None if text is None else json.loads(text)
        return value

    @asks_store()
    def append_line(self, path: str, entry: Mapping[str, JSON]) -> None:
        """Adds an entry to a study's journal; it is on disk when this returns.

        An object store cannot append: there a journal is a folder of numbered objects.
        """
        fence = self._fence(path)
        fenced = entry if fence is None else {**entry, FENCE: fence}
        journal, line = _place(path), encode(fenced) + b"\n"
        if self._files.is_local:
            append(Path(self._files.path(journal)), line)
            return
        taken = [int(name.partition("-")[0]) for name in self._files.sizes(journal)]
        self._files.write(f"{journal}/{max(taken, default=-1) + 1:08d}-{uuid4().hex}.json", line)

    @asks_store()
    def read_lines(self, path: str) -> list[dict[str, Any]]:
        """Reads a journal, oldest entry first.

        What a crash left half written is passed over, and so is what a driver wrote after another
        had taken over and written: it was suspended between its look at the lock and its write.
        """
        entries, newest = [], 0
        for line in filter(None, self._journal(_place(path)).splitlines()):
            try:
                entry = json.loads(line)
            except ValueError:
                log.warning("%s/studies/%s: passed over a torn line", self._files.url, path)
                continue
            fence = entry.pop(FENCE, newest)
            if fence >= newest:
                entries.append(entry)
                newest = fence
        return entries

    def _journal(self, journal: str) -> bytes:
        if self._files.is_local:
            return self._files.read(journal) or b""
        names = [self._files.path(f"{journal}/{n}") for n in sorted(self._files.sizes(journal))]
        return b"".join(self._files.fs.cat_ranges(names, None, None, on_error="raise"))


def append(target: Path, line: bytes) -> None:
    """Adds a line to a local journal in one write; a torn line before it stays apart.

    Raises:
        OSError: The disk took only a part of it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("ab+", buffering=0) as file:
        if file.tell() and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n":
            line = b"\n" + line
        if file.write(line) != len(line):
            raise OSError(f"{target}: the disk took only a part of a journal line")
        os.fsync(file.fileno())


def claim(
    title: str,
    identity: Mapping[str, JSON],
    known: Mapping[str, JSON] | None,
    record: Callable[[], None],
) -> None:
    """Takes the name of a study or search, or finds that it is the same one.

    Args:
        title: Kind and name, as people read it: ``study 'ours'``.
        identity: What makes it this one: settings, data, arms and seeds.
        known: The identity that is stored under its name; None: the name is free.
        record: Stores the identity.

    Raises:
        BadInput: The name belongs to another one; all differences are named.
    """
    if known is None:
        record()
        return
    changed = list(differences(identity, known))
    if changed:
        raise BadInput(
            f"{title} was started with another configuration ({'; '.join(changed)}): "
            "pass --study NAME for a new one"
        )


def differences(ours: object, theirs: object, path: str = "") -> Iterator[str]:
    """Yields every field in which two plain values differ, with both values.

    >>> list(differences({"optim": {"epochs": 2}}, {"optim": {"epochs": 1}}))
    ['optim.epochs: 1 before, 2 now']
    """
    if canonical(ours) == canonical(theirs):
        return
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in sorted({*ours, *theirs}):
            yield from differences(ours.get(name), theirs.get(name), f"{path}.{name}")
        return
    yield f"{path.lstrip('.')}: {canonical(theirs)} before, {canonical(ours)} now"


def first_difference(ours: object, theirs: object) -> str | None:
    """Finds the first field in which two plain values differ; None where they are the same."""
    return next(differences(ours, theirs), None)


def _place(path: str) -> str:
    return f"studies/{check_inside(path)}"
