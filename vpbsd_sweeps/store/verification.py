"""Results read again, byte by byte, against what their manifests say."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from vpbsd_sweeps.store.files import check_key
from vpbsd_sweeps.store.manifest import Entry, Manifest
from vpbsd_sweeps.store.results import Store

BLOCK = 2**20
AT_ONCE = 8
"""Results that are read side by side: an object store takes its time."""


def keys(store: Store) -> list[str]:
    """Lists the keys of all results that were committed and not set aside."""
    root = store.files.path("results")
    manifests = store.files.fs.glob(f"{root}/*/manifest.json")
    return sorted(path.removesuffix("/manifest.json").rpartition("/")[2] for path in manifests)


def verify(store: Store) -> Iterator[tuple[str, str]]:
    """Yields key and damage of every result, "" where it is what was committed.

    Nothing is kept on this host: a remote result is read in pieces.
    """
    names = keys(store)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from zip(names, pool.map(lambda key: damage(store, key), names), strict=True)


def damage(store: Store, key: str) -> str:
    """Says what is wrong with a result, or ""."""
    state, manifest = store.inspect(check_key(key))
    if state == "damaged":
        return "a file is missing or of another size, or the manifest cannot be read"
    if manifest is None:
        return ""  # freed or set aside meanwhile
    for name, entry in manifest.files.items():
        if _measured(store, manifest, name) != entry:
            return f"{name} is not what was committed"
    return ""


def _measured(store: Store, manifest: Manifest, name: str) -> Entry | None:
    path = store.files.path(f"results/{manifest.key}/{manifest.attempt}/{name}")
    try:
        digest, size = hashlib.sha256(), 0
        with store.files.fs.open(path, "rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
                size += len(block)
    except FileNotFoundError:
        return None
    return Entry(size=size, sha256=digest.hexdigest())
