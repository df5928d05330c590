"""Which stages studies, searches and final trainings need, as their own lists in the store say."""

from __future__ import annotations

from collections.abc import Iterable

from vpbsd.errors import BadInput
from vpbsd.overrides import nearest
from vpbsd_sweeps.store.garbage import fresh_checkpoints
from vpbsd_sweeps.store.lock import holder
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.plan import OUTLINE

FINAL, SEARCH = "final.json", "search_stages.json"
"""What a final training and a search need: ``stages``, each with its ``key``, as in an outline."""
JOURNAL = "search.jsonl"


def list_stages(store: Store, study: str, name: str, keys: Iterable[str]) -> None:
    """Adds stages to what a final training or a search of a study needs.

    Args:
        store: Of the study.
        study: Its name.
        name: FINAL or SEARCH.
        keys: Of the stages.
    """
    every = sorted({*_listed(store, study, name), *keys})
    store.studies.write_json(f"{study}/{name}", {"stages": [{"key": key} for key in every]})


def stages_of(store: Store, study: str) -> set[str]:
    """Returns the keys of all stages that a study needs, upstream ones too.

    Raises:
        BadInput: It is a search that does not list them.
    """
    files = store.files.sizes(f"studies/{study}")
    if SEARCH not in files and any(name.startswith(JOURNAL) for name in files):
        raise BadInput(
            f"search '{study}' was run by a version that did not list the stages it needs: give "
            "its command again, which lists them, or leave it out of --keep"
        )
    return listed(store, study)


def listed(store: Store, study: str) -> set[str]:
    """Returns the keys of all stages that a study lists, though it may need others too."""
    return set().union(*(_listed(store, study, name) for name in (OUTLINE, FINAL, SEARCH)))


def in_use(store: Store) -> list[str]:
    """Returns the studies that run: a driver is alive, or one of their stages saved just now."""
    fresh = fresh_checkpoints(store)
    return [
        name
        for name in store.studies.names()
        if holder(name, store) is not None or (fresh and not fresh.isdisjoint(listed(store, name)))
    ]


def kept(store: Store, names: list[str] | None) -> dict[str, set[str]]:
    """Returns the studies that are kept, those that run in any case, and what each needs.

    Args:
        store: Which.
        names: Of the studies to keep; None: all.

    Raises:
        BadInput: There is no such study, or a search does not list what it needs.
    """
    known = store.studies.names()
    for name in names or ():
        if name not in known:
            raise BadInput(f"--keep {name}: {store.url} has no such study{nearest(name, known)}")
    some = known if names is None else names
    return {name: stages_of(store, name) for name in sorted({*some, *in_use(store)})}


def _listed(store: Store, study: str, name: str) -> set[str]:
    value = store.studies.read_json(f"{study}/{name}") or {"stages": ()}
    return {stage["key"] for stage in value["stages"]}
