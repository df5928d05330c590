"""The scheduler as its clients see it: a trial follows its stages until they are stored."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from vpbsd_sweeps.execution.cluster import get_scheduler
from vpbsd_sweeps.execution.events import StageState, StageStatus, StageUpdate
from vpbsd_sweeps.execution.jobs import Job, Waiter
from vpbsd_sweeps.execution.slices import Slice
from vpbsd_sweeps.messages import last_line
from vpbsd_sweeps.periodic import periodically
from vpbsd_sweeps.store.results import Store

LOOK_EVERY = 1.5  # seconds between looks at all stages
PATIENCE = 1.0  # seconds until a waiting thread looks whether it should stop
REBUILD = 2.0  # seconds that Ray is given to start a lost scheduler again
Scheduler = Any
"""A handle of the `StageScheduler` actor; Ray gives handles no type."""
OnRow = Callable[[dict[str, Any]], bool]
"""Receives each new row; returns True to stop the trial."""


def follow(
    scheduler: Scheduler,
    job: Job,
    waiter: Waiter,
    on_row: OnRow,
    stopped: Callable[[], bool] = lambda: False,
    patience: float = 20.0,
) -> tuple[StageState, str]:
    """Waits until a stage is stored, and passes its rows on meanwhile.

    Args:
        scheduler: Runs it.
        job: The stage.
        waiter: Who waits; whoever is the first sets the stage going.
        on_row: Receives each row once; the stage is released if it returns True or if Tune ends
            the trial from within it (SystemExit).
        stopped: Is asked at least every `patience` seconds whether to give up.
        patience: Longest silence, in seconds.

    Returns:
        The last state and its reason. AGAIN: an input vanished, begin anew upstream. LEFT: the
        trial was stopped.
    """
    seen = 0
    try:
        ray.get(scheduler.request.remote(job, waiter))
        while True:
            update: StageUpdate = ray.get(
                scheduler.updates.remote(job.key, waiter, seen, patience)
            )
            seen += len(update.rows)
            if any([on_row(row) for row in update.rows]) or stopped():
                ray.get(scheduler.release.remote(job.key, waiter))
                return StageState.LEFT, ""
            if update.state.is_final:
                return update.state, update.reason
    except RayActorError:
        time.sleep(REBUILD)  # the store knows what is done
        return StageState.AGAIN, "the scheduler was lost"
    except RayTaskError as error:  # the store did not answer the scheduler for minutes
        return StageState.FAILED, last_line(error.cause)
    except SystemExit:
        scheduler.release.remote(job.key, waiter)
        raise


class Engine:
    """Brings stages to the store for trials that run in threads of the driver.

    A thread that waits costs nothing, so trials of a search need no processes of their own.
    """

    def __init__(self, store: Store, slices: dict[str, Slice]) -> None:
        self._scheduler = get_scheduler(store, slices)
        self._session = os.urandom(8).hex()
        self._stop = threading.Event()

    def stop(self) -> None:
        """Makes every trial let go of what it waits for, and end as LEFT."""
        self._stop.set()

    @property
    def stopped(self) -> bool:
        """True once `stop` was called."""
        return self._stop.is_set()

    def watching(self, watch: Callable[[list[StageStatus]], None]) -> AbstractContextManager[None]:
        """Shows `watch` all stages of this engine every second or two, while the block runs."""
        return watching(self._scheduler, self._session, watch)

    def follow(self, job: Job, trial: str, on_row: OnRow) -> tuple[StageState, str]:
        """Waits until a stage is stored; see `follow`."""
        waiter = Waiter(self._session, trial)
        return follow(self._scheduler, job, waiter, on_row, self._stop.is_set, PATIENCE)


def watching(
    scheduler: Scheduler,
    session: str,
    watch: Callable[[list[StageStatus]], None],
) -> AbstractContextManager[None]:
    """Shows `watch` all stages of a session every second or two, while the block runs."""

    def look() -> None:
        with suppress(RayActorError):  # it is being rebuilt
            watch(ray.get(scheduler.statuses.remote(session)))

    return periodically(look, LOOK_EVERY)
