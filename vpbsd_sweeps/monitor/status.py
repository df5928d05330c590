"""How a study or a search stands, from its store alone, without its data or its settings."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from vpbsd.errors import BadInput
from vpbsd.overrides import nearest
from vpbsd.pipeline.crossings import arm_title
from vpbsd_sweeps.execution.checkpointing import SPENT
from vpbsd_sweeps.monitor.accounting import Tally
from vpbsd_sweeps.store.lock import holder
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.inventory import FAMILIES
from vpbsd_sweeps.study.plan import OUTLINE
from vpbsd_sweeps.tuning.journal import Journal
from vpbsd_sweeps.tuning.ranking import best
from vpbsd_sweeps.units import hours

STANDING = "standing.json"
"""What a search's driver notes for other terminals."""
VERDICT = "verdict.json"
"""What a sweep's driver notes when it has ended: the verdict, and over how many trials."""


def standing(name: str, store: Store) -> Iterator[str]:
    """Yields how a study or search stands: who drives it, what is done, what runs, the best.

    Raises:
        BadInput: There is no such study in the store; the nearest name is offered.
    """
    outline, journal = store.studies.read_json(f"{name}/{OUTLINE}"), Journal(store, name)
    if outline is None and journal.identity is None:
        raise BadInput(
            f"there is no study '{name}' in {store.url}{nearest(name, store.studies.names())}"
        )
    driver = holder(name, store)
    who = "no driver is running"
    if driver:
        who = f"driven by process {driver.pid} on {driver.host}"
    if outline is not None:
        yield f"study {name}: {who}"
        yield from _stages(outline, store)
        found = None if driver else last_verdict(name, store)
        if found is not None:
            yield found["sentence"]
    else:
        yield f"search {name}: {who}"
        note = store.studies.read_json(f"{name}/{STANDING}") if driver else None
        yield from _trials(journal) if note is None else _noted(note)


def last_verdict(name: str, store: Store) -> dict[str, Any] | None:
    """Reads the verdict of a study whose driver came to its end, on all trials that it has."""
    outline = store.studies.read_json(f"{name}/{OUTLINE}")
    found = store.studies.read_json(f"{name}/{VERDICT}")
    if outline is None or found is None or found["trials"] != len(outline["trials"]):
        return None  # it may have grown since
    return found


def _stages(outline: Mapping[str, Any], store: Store) -> Iterator[str]:
    """Yields a study's stages per family, those begun, its trials and hours."""
    stages, tally = outline["stages"], Tally(outline, store)
    tally.take(stage["key"] for stage in stages)
    left = [stage for stage in stages if stage["key"] not in tally.stored]
    yield "stage          | stored | to do"
    every, missing = (Counter(stage["family"] for stage in some) for some in (stages, left))
    for family in FAMILIES:
        yield f"{family:<14} | {every[family] - missing[family]:>6} | {missing[family]:>5}"
    for stage in left:
        yield from _begun(stage, store)
    yield f"{tally.ended} of {len(outline['trials'])} trials"
    if tally.best():
        yield tally.best()
    if tally.unproven():
        titles = [arm_title(arm) for arm in tally.unproven()]
        yield f"unproven, so never the best: {', '.join(titles)}"
    yield f"{tally.hours()}; about {hours(sum(stage['guess'] for stage in left))} of work left"


def _begun(stage: Mapping[str, Any], store: Store) -> Iterator[str]:
    """Yields how far a stage was at its checkpoint, if it has one."""
    text = store.checkpoints.load(stage["key"], SPENT)
    if text is not None:
        spent = json.loads(text)
        ago = hours(time.time() - spent["time"])
        yield f"  {stage['label']}: {spent['share']:.0%} at its checkpoint {ago} ago"


def _noted(note: Mapping[str, Any]) -> Iterator[str]:
    """Yields what the driver of a search saw last."""
    yield f"{hours(time.time() - note['time'])} ago: {note['line']}"
    yield from note["stages"]


def _trials(journal: Journal) -> Iterator[str]:
    """Yields how the trials of a search ended that nobody drives."""
    yield progress(journal)
    yield from leader(journal)
    if journal.pending:
        yield f"{len(journal.pending)} trials were interrupted: the same command goes on"


def progress(journal: Journal, trials: int | None = None) -> str:
    """Describes how many trials have ended, and how; `trials`: how many there will be."""
    how = Counter(outcome.outcome for outcome in list(journal.outcomes.values()))
    ended = ", ".join(f"{n} {outcome}" for outcome, n in sorted(how.items()))
    of = f"{tried(journal)}/{trials}" if trials else f"{tried(journal)}"
    return f"{of} trials ended ({ended})" if how else f"{of} trials ended"


def leader(journal: Journal) -> list[str]:
    """Describes the best complete trial so far, if there is one."""
    return [f"best so far: DSC {o.value:.3f}, trial {o.number}" for o in best(journal)[:1]]


def tried(journal: Journal) -> int:
    """Counts the trials that ended and could be trained."""
    return sum(outcome.outcome != "infeasible" for outcome in list(journal.outcomes.values()))
