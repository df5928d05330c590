"""Many results looked up at once: one listing instead of some requests for each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vpbsd_sweeps.store.manifest import Manifest
from vpbsd_sweeps.store.results import Damaged, State, Store, checked

MANY = 100  # results from which on a remote store is listed as a whole


@dataclass(frozen=True)
class Glance:
    """Which stages left something in a store, whatever it is worth.

    Attributes:
        results: Keys with a result, be it whole or not.
        running: Key -> name -> bytes of what a running stage has saved.
    """

    results: frozenset[str]
    running: Mapping[str, Mapping[str, int]]


def glance(store: Store) -> Glance:
    """Looks which stages left something in a store: a request for a thousand of them."""
    running: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for name, size in store.files.sizes("running").items():
        key, _, file = name.partition("/")
        running[key][file] = size
    return Glance(frozenset(store.files.folders("results")), dict(running))


def inspect_all(store: Store, keys: Iterable[str]) -> dict[str, tuple[State, Manifest | None]]:
    """Looks up many results as `Store.inspect` does; a remote store is asked for few things.

    Args:
        store: Where they may be.
        keys: Of the results.
    """
    every = list(dict.fromkeys(keys))
    if store.files.is_local or len(every) < MANY:
        return {key: store.inspect(key) for key in every}
    there: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for name, size in store.files.sizes("results").items():
        key, _, within = name.partition("/")
        attempt, _, file = within.partition("/")
        there[f"results/{key}"][within] = size
        there[f"results/{key}/{attempt}"][file] = size
    names = {
        key: f"results/{key}/manifest.json"
        for key in every
        if "manifest.json" in there[f"results/{key}"]
    }
    texts = store.files.read_many(names.values())
    found: dict[str, tuple[State, Manifest | None]] = dict.fromkeys(every, ("absent", None))
    for key, name in names.items():
        if name in texts:
            try:
                sizes_of = there.__getitem__
                found[key] = "stored", checked(store.files, key, texts[name], sizes_of)
            except Damaged:
                found[key] = "damaged", None
    return found
