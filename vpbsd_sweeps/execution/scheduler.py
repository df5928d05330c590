"""The stage scheduler: submits, owns and remembers stage tasks, so that each stage runs once.

A named, detached actor, one per store on a cluster. However many trials want a stage, it runs
once; one that nobody waits for any more is stopped. It imports no torch; only stage tasks do.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import defaultdict
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import uuid4

import ray
from ray.exceptions import RayTaskError, TaskCancelledError

from vpbsd_sweeps.execution.events import StageState, StageStatus, StageUpdate
from vpbsd_sweeps.execution.jobs import Job, Waiter
from vpbsd_sweeps.execution.scheduled_stage import ScheduledStage
from vpbsd_sweeps.execution.slices import Slice, SliceTooSmall
from vpbsd_sweeps.execution.stage_leases import wait_for_others
from vpbsd_sweeps.execution.tasks import StageTask, submit
from vpbsd_sweeps.messages import last_line
from vpbsd_sweeps.patience import patiently
from vpbsd_sweeps.store.lease import LeaseLost, Term
from vpbsd_sweeps.store.results import Absent, Damaged, Store

SILENCE = 180.0  # seconds after which a driver that asks nothing is taken for dead
PATIENCE = 20.0  # seconds until a trial that waits is told that nothing is new


class Dismissed(RuntimeError):
    """A trial asks for a stage though its driver was interrupted."""


class StageScheduler:
    """Submits, owns and remembers stage tasks. Rebuilt from the store, it loses nothing.

    A stage that has ended is forgotten when all that waited for it were told; only that one has
    failed is remembered, while the driver lives whose trial asked first.
    """

    def __init__(self, store_url: str, slices: dict[str, Slice]) -> None:
        self._url, self._store, self._owner = store_url, Store(store_url), uuid4().hex
        self._slices: dict[str, Slice] = {}
        self._stages: dict[str, ScheduledStage] = {}
        self._ended: defaultdict[str, dict[str, StageStatus]] = defaultdict(dict)
        self._heard: dict[str, float] = {}
        self._dismissed: set[str] = set()
        self._watchdog: asyncio.Task[None] | None = None
        self.use(slices)

    def use(self, slices: dict[str, Slice]) -> None:
        """Takes slices for stages that begin from now on: another driver may want others."""
        self._slices |= slices

    async def request(self, job: Job, waiter: Waiter) -> None:
        """Notes that a trial waits for a stage from now on; the first one sets it going.

        Raises:
            Dismissed: Its driver was interrupted.
        """
        if waiter.session in self._dismissed:
            raise Dismissed("its driver was interrupted")
        self._heard[waiter.session] = time.monotonic()
        self._watchdog = self._watchdog or asyncio.create_task(self._forget_the_silent())
        stage = self._stages.get(job.key)
        if stage is None or stage.is_stale(waiter.session):
            untold = set(stage.waiting) if stage else set()
            stage = self._stages[job.key] = ScheduledStage(job, waiter.session, waiting=untold)
            stage.task = asyncio.create_task(self._run(stage))
            stage.task.add_done_callback(stage.end)
        stage.waiting.add(waiter)

    async def updates(self, key: str, waiter: Waiter, start: int) -> StageUpdate:
        """Returns rows from number `start` on, once there are any or the state is final."""
        self._heard[waiter.session] = time.monotonic()
        stage = self._stages.get(key)
        if stage is None:
            return StageUpdate(StageState.AGAIN, [], "the scheduler was restarted")
        if not stage.state.is_final and len(stage.rows) <= start:
            with suppress(TimeoutError):
                await asyncio.wait_for(stage.changed.wait(), PATIENCE)
        update = StageUpdate(stage.state, stage.rows[start:], stage.reason)
        if update.state.is_final:
            self._ended[waiter.session][key] = stage.status()
            await self.release(key, waiter)
        return update

    async def release(self, key: str, waiter: Waiter) -> None:
        """Notes that a trial waits no longer.

        A stage nobody waits for is stopped; its checkpoint stays.
        """
        stage = self._stages.get(key)
        if stage is not None:
            self._drop(stage, {waiter})

    async def leave(self, waiter: Waiter) -> None:
        """Notes that a trial waits for nothing any longer, also where its coordinator is lost."""
        for stage in list(self._stages.values()):
            self._drop(stage, {waiter})

    async def dismiss(self, session: str) -> None:
        """Notes that a driver was interrupted: its trials wait for nothing, and ask in vain."""
        self._dismissed.add(session)
        self._release_all({session})

    async def report(self, key: str, first: int, rows: list[dict[str, Any]], share: float) -> None:
        """Takes rows of a running stage, from number `first` on.

        One that was resumed sends the rows of its checkpoint again, so that a row's number is its
        epoch's, whatever happened to the worker.

        A report comes by another way than the stage's end, and may come after it.
        """
        stage = self._stages.get(key)
        if stage is None or stage.state.is_final:
            return
        stage.rows[first:] = rows
        stage.state, stage.share = StageState.RUNNING, share
        stage.began = stage.began or time.time()
        stage.wake()

    async def statuses(self, session: str) -> list[StageStatus]:
        """Describes what a session waits for, and once each stage that has ended since."""
        self._heard[session] = time.monotonic()
        waited = [s for s in self._stages.values() if any(w.session == session for w in s.waiting)]
        return [*self._ended.pop(session, {}).values(), *(stage.status() for stage in waited)]

    async def _forget_the_silent(self) -> None:
        """Releases, now and again, what drivers wait for that have asked nothing for minutes.

        They were killed: their stages must neither go on nor begin.
        """
        while True:
            await asyncio.sleep(SILENCE / 6)
            now = time.monotonic()
            silent = {name for name, heard in self._heard.items() if now - heard > SILENCE}
            for session in silent:
                del self._heard[session]
                self._ended.pop(session, None)
            self._release_all(silent)

    def _release_all(self, sessions: set[str]) -> None:
        for stage in list(self._stages.values()):
            self._drop(stage, {w for w in stage.waiting if w.session in sessions})

    def _drop(self, stage: ScheduledStage, waiters: set[Waiter]) -> None:
        """Lets go of a stage that nobody waits for any more; its checkpoint stays."""
        stage.waiting -= waiters
        if stage.waiting:
            return
        if stage.state is StageState.FAILED and stage.session in self._heard:
            stage.rows = []  # only that it has failed is still of use
            return
        del self._stages[stage.job.key]
        if not stage.state.is_final:
            stage.task.cancel()
            if stage.ref is not None:
                ray.cancel(stage.ref)

    async def _is_stored(self, key: str) -> bool:
        return await asyncio.to_thread(patiently, lambda: self._store.state(key)) == "stored"

    async def _run(self, stage: ScheduledStage) -> None:
        job, elsewhere = stage.job, True
        show = partial(self.report, job.key)
        try:
            while elsewhere and not await self._is_stored(job.key):
                lapsed = await wait_for_others(self._store, job, self._owner, show)
                elsewhere = await self._attempt(stage, lapsed)
        except RayTaskError as error:
            self._end_failed(stage, error.cause)
        except TaskCancelledError:
            stage.become(StageState.AGAIN, "cancelled")
        else:
            stage.share = 1.0
            stage.become(StageState.STORED)

    async def _attempt(self, stage: ScheduledStage, lapsed: Term | None) -> bool:
        """Runs the task; out of GPU memory it is run once more, in one that would do.

        Returns:
            Whether another cluster runs it, and so this one has to wait.
        """
        job, me = stage.job, ray.get_runtime_context().current_actor
        piece = self._slices[job.family]
        mark = await asyncio.to_thread(patiently, self._store.files.mark)
        task = StageTask(job, self._url, mark, piece, me, self._owner, lapsed)
        stage.ref = submit(task)
        try:
            return bool(await stage.ref)
        except RayTaskError as error:
            if isinstance(error.cause, LeaseLost):
                return True
            small = error.cause if isinstance(error.cause, SliceTooSmall) else None
            larger = piece.larger(small.share) if small else None
            if larger is None:
                raise
            # stages of its family would not fit either; one of them may have found so before
            larger = max(larger, self._slices[job.family], key=lambda one: one.gpus)
            self._slices[job.family] = larger
            stage.ref = submit(task._replace(piece=larger))
            return bool(await stage.ref)

    def _end_failed(self, stage: ScheduledStage, cause: BaseException) -> None:
        """Has a damaged or vanished input made anew; anything else fails the trials."""
        gone = isinstance(cause, (Damaged, Absent))
        stage.become(StageState.AGAIN if gone else StageState.FAILED, last_line(cause))


def scheduler_name(url: str) -> str:
    """Returns the name of the one scheduler of a store on a cluster, which all drivers share."""
    return "scheduler-" + hashlib.sha256(url.encode()).hexdigest()[:12]
