"""Each stage once, also across clusters: a lease in the store on every stage that is trained.

A worker takes it when it begins, and lets its slice go at once where another cluster was faster.
A scheduler then waits without a slice: it shows the rows in the store, and takes the result, or
the stage itself when the lease lapses.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from vpbsd_sweeps.execution.checkpointing import SPENT
from vpbsd_sweeps.execution.jobs import Job
from vpbsd_sweeps.patience import patiently
from vpbsd_sweeps.store.lease import Hold, Lease, Silence, Term, beat_every, machine, stale
from vpbsd_sweeps.store.results import Store

OnRows = Callable[[int, list[dict[str, Any]], float], Awaitable[None]]
"""(number of the first row, new rows, share done)"""


def stage_lease(store: Store, job: Job) -> Lease:
    """Returns the lease on a stage; it vanishes when the stage is stored."""
    return Lease(store.files, f"leases/{job.key}", job.label)


@contextmanager
def holding(store: Store, job: Job, owner: str, lapsed: Term | None) -> Iterator[Term | None]:
    """Holds the lease on a stage while the block trains it.

    Args:
        store: Where the lease is.
        job: The stage.
        owner: The scheduler: what it began itself, it may take over at once, since it runs a
            stage again only when it has lost the worker.
        lapsed: A term of another cluster that was found to be over.

    Yields:
        The term; None where another cluster trains the stage.

    Raises:
        LeaseLost: It was lost meanwhile, whatever the block has made of that.
    """
    lease = stage_lease(store, job)
    other = patiently(lease.look)
    free = other is None or other.is_over or other.id == owner or other == lapsed
    term = lease.take(other, owner) if free else None
    if term is None:
        yield None
        return
    hold, done = Hold(lease, term), False
    try:
        with hold.beating():
            yield term
        done = True
    except Exception:
        patiently(hold.check)
        raise
    finally:
        lease.end(hold.term, forget=done)


async def wait_for_others(store: Store, job: Job, owner: str, on_rows: OnRows) -> Term | None:
    """Waits while another cluster trains a stage, and passes its rows on.

    Returns:
        The term that is over or has lapsed; None where there is none of another cluster.
    """
    lease, silence, seen, before = stage_lease(store, job), Silence(), 0, b""
    while True:
        term = await asyncio.to_thread(patiently, lease.look)
        if term is None or term.id == owner:
            return None
        if term.is_over or silence.seconds(term) >= stale():
            return term
        kept = store.checkpoints
        spent = await asyncio.to_thread(patiently, partial(kept.load, job.key, SPENT)) or b"{}"
        if spent != before:
            rows = await asyncio.to_thread(patiently, partial(kept.read_rows, job.key, seen))
            await on_rows(seen, rows, json.loads(spent).get("share", 0.0))
            seen, before = seen + len(rows), spent
        near = term.machine == machine()  # its death is seen at once
        await asyncio.sleep(min(1.0, beat_every()) if near else beat_every())
