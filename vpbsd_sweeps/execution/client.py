"""The scheduler as its clients see it: a trial follows its stages until they are stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from vpbsd.interruption import stopping
from vpbsd_sweeps.execution.events import OnRow, StageState, StageStatus, StageUpdate
from vpbsd_sweeps.execution.jobs import Job, Waiter
from vpbsd_sweeps.messages import last_line
from vpbsd_sweeps.periodic import periodically

LOOK_EVERY = 1.5  # seconds between looks at all stages
REBUILD = 2.0  # seconds that Ray is given to start a lost scheduler again
DISMISS = 5.0  # seconds that the scheduler is given to hear that its driver leaves
STOPPED = "stages at work are stopped and keep their checkpoints"
Scheduler = Any
"""A handle of the `StageScheduler` actor; Ray gives handles no type."""


def follow(
    scheduler: Scheduler, job: Job, waiter: Waiter, on_row: OnRow
) -> tuple[StageState, str]:
    """Waits until a stage is stored, and passes its rows on meanwhile.

    Args:
        scheduler: Runs it.
        job: The stage.
        waiter: Who waits; whoever is the first sets the stage going.
        on_row: Receives each row once; the stage is released if Tune ends the trial from within
            it (SystemExit).

    Returns:
        The last state and its reason. AGAIN: an input vanished, begin anew upstream.
    """
    seen = 0
    try:
        ray.get(scheduler.request.remote(job, waiter))
        while True:
            update: StageUpdate = ray.get(scheduler.updates.remote(job.key, waiter, seen))
            seen += len(update.rows)
            for row in update.rows:
                on_row(row)
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


@contextmanager
def watching(
    scheduler: Scheduler,
    session: str,
    watch: Callable[[list[StageStatus]], None],
) -> Iterator[None]:
    """Shows `watch` all stages of a session every second or two, while the block runs.

    Where Ctrl-C ends the block, the scheduler stops what only this session waits for.
    """
    ended: dict[str, StageStatus] = {}

    def look() -> None:
        with suppress(RayActorError):  # it is being rebuilt
            now = {stage.key: stage for stage in ray.get(scheduler.statuses.remote(session))}
            # First, since each end is told once and `watch` may fail.
            ended.update((key, stage) for key, stage in now.items() if stage.state.is_final)
            watch(list((ended | now).values()))

    try:
        with stopping(STOPPED), periodically(look, LOOK_EVERY):
            yield
    except KeyboardInterrupt:
        with suppress(RayError):  # else it finds out by the silence
            ray.get(scheduler.dismiss.remote(session), timeout=DISMISS)
        raise
