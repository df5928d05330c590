"""What of a store nobody needs any more, and how it is freed beside running drivers.

A result vanishes manifest first, so whoever looks meanwhile finds it whole or absent; a driver
that finds one absent trains it again.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple
from uuid import uuid4

from pydantic import ValidationError

from vpbsd_sweeps.store.files import FileStore
from vpbsd_sweeps.store.manifest import Manifest
from vpbsd_sweeps.store.results import Store

FRESH = 3600.0
"""Seconds for which everything stays: somebody may be about to need it."""
RESULTS, RUNNING = "results", "running"


class Piece(NamedTuple):
    """A folder of the store that can be freed.

    Attributes:
        kind: ``results``: a result, or an attempt at one that another made superfluous;
            ``running``: what a stage kept that was never finished.
        name: Below that: a key, or key and attempt.
        size: Bytes.
    """

    kind: str
    name: str
    size: int


class _File(NamedTuple):
    size: int
    time: float


def fresh_checkpoints(store: Store) -> set[str]:
    """Returns the keys of stages that saved something within the last hour: they run somewhere."""
    now = store_time(store.files)
    folders = _folders(store.files, RUNNING)
    return {key for key, files in folders.items() if _age(files, now) < FRESH}


def garbage(
    store: Store, needed: Collection[str], older: float = 0.0, now: float | None = None
) -> Iterator[Piece]:
    """Yields what is not needed, and has not been touched for an hour.

    Args:
        store: Which.
        needed: Keys of stages that stay.
        older: Seconds that a result must not have been touched for; at least an hour counts.
        now: The time, in seconds since 1970; None: by the clock that dates the store's files.
    """
    now = store_time(store.files) if now is None else now
    for kind in (RESULTS, RUNNING):
        for name, files in sorted(_folders(store.files, kind).items()):
            size = sum(file.size for file in files.values())
            if name not in needed:
                if _age(files, now) >= max(older, FRESH):
                    yield Piece(kind, name, size)
            elif kind == RESULTS:
                yield from _superfluous(store, name, files, now)


def free(store: Store, piece: Piece) -> None:
    """Removes a piece; what is gone already is no error."""
    folder = f"{piece.kind}/{piece.name}"
    store.files.remove(f"{folder}/manifest.json")
    with suppress(FileNotFoundError):
        store.files.remove_folder(folder)


def store_time(files: FileStore) -> float:
    """Returns the time by the clock that dates the store's files, whatever this host's says."""
    name = f".clock-{uuid4().hex}"
    files.write(name, b"now")
    try:
        return _modified(files.fs.info(files.path(name)))
    finally:
        files.remove(name)


def _superfluous(store: Store, key: str, files: dict[str, _File], now: float) -> Iterator[Piece]:
    """Yields attempts at a needed result that its manifest does not name."""
    attempts: defaultdict[str, dict[str, _File]] = defaultdict(dict)
    for name, file in files.items():
        attempt, _, inner = name.partition("/")
        if inner:
            attempts[attempt][inner] = file
    if len(attempts) < 2:
        return
    text = store.files.read(f"{RESULTS}/{key}/manifest.json")
    try:
        kept = Manifest.model_validate_json(text or b"").attempt
    except ValidationError:
        return  # absent or damaged: it may be the only one that can be looked into
    for attempt, own in attempts.items():
        if attempt != kept and _age(own, now) >= FRESH:
            yield Piece(RESULTS, f"{key}/{attempt}", sum(file.size for file in own.values()))


def _folders(files: FileStore, kind: str) -> dict[str, dict[str, _File]]:
    """Lists a part of the store at once: name of each folder -> its files."""
    root = files.path(kind)
    found: defaultdict[str, dict[str, _File]] = defaultdict(dict)
    for path, info in files.fs.find(root, detail=True).items():
        folder, _, name = path[len(root) + 1 :].partition("/")
        if name:
            found[folder][name] = _File(info["size"], _modified(info))
    return found


def _age(files: dict[str, _File], now: float) -> float:
    return now - max(file.time for file in files.values())


def _modified(info: dict[str, Any]) -> float:
    """Reads when a file was written, as each kind of store says it; unknown is now."""
    for name in ("mtime", "LastModified", "updated", "created"):
        value = info.get(name)
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return value.timestamp()
        if value is not None:
            return float(value)
    return time.time()
