"""What a study consists of, in the store: for watching it without its data or its settings."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from vpbsd.errors import BadInput
from vpbsd.overrides import nearest
from vpbsd_sweeps.execution.checkpointing import SPENT
from vpbsd_sweeps.monitor.accounting import Tally
from vpbsd_sweeps.monitor.search_display import STANDING, leader, progress
from vpbsd_sweeps.store.lock import holder
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.inventory import FAMILIES
from vpbsd_sweeps.study.plan import OUTLINE
from vpbsd_sweeps.tuning.journal import Journal
from vpbsd_sweeps.units import hours


def standing(study: str, store: Store) -> Iterator[str]:
    """How a study stands, line by line: who drives it, what is done, what runs, the best so far.

    Raises:
        BadInput: There is no such study in the store.
    """
    told = store.studies.read_json(f"{study}/{OUTLINE}")
    if told is None:
        journal = Journal(store, study)
        if journal.facts is not None:
            yield from search_standing(journal, store)
            return
        raise BadInput(
            f"there is no study '{study}' in {store.url}{nearest(study, store.studies.names())}"
        )
    stages, trials, tally = told["stages"], told["trials"], Tally(told, store)
    tally.take(stage["key"] for stage in stages)
    driver = holder(study, store)
    yield f"study {study}: " + (
        f"driven by process {driver['pid']} on {driver['host']}"
        if driver
        else "no driver is running"
    )
    yield "stage          | stored | to do"
    for family in FAMILIES:
        own = Counter(s["key"] in tally.stored for s in stages if s["family"] == family)
        yield f"{family:<14} | {own[True]:>6} | {own[False]:>5}"
    for stage in stages:
        if stage["key"] not in tally.stored:
            yield from _begun(stage, store)
    yield f"{tally.ended} of {len(trials)} trials"
    if tally.best():
        yield tally.best()
    left = sum(stage["guess"] for stage in stages if stage["key"] not in tally.stored)
    yield f"{tally.hours()}; about {hours(left)} of work left"


def _begun(stage: dict[str, Any], store: Store) -> Iterator[str]:
    spent = store.checkpoints.load(stage["key"], SPENT)
    if spent is not None:
        told = json.loads(spent)
        ago = hours(time.time() - told["time"])
        yield f"  {stage['label']}: {told['share']:.0%} at its checkpoint {ago} ago"


def search_standing(journal: Journal, store: Store) -> Iterator[str]:
    """How a search stands, line by line: who drives it, what is done, what runs, the best."""
    driver = holder(journal.name, store)
    yield f"search {journal.name}: " + (
        f"driven by process {driver['pid']} on {driver['host']}"
        if driver
        else "no driver is running"
    )
    told = store.studies.read_json(f"{journal.name}/{STANDING}")
    if driver and told is not None:
        yield f"{hours(time.time() - told['time'])} ago: {told['line']}"
        yield from told["stages"]
        return
    yield progress(journal)
    yield from leader(journal)
    if journal.pending:
        yield f"{len(journal.pending)} trials were interrupted: the same command goes on"
