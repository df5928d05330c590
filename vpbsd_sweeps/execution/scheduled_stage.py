"""A stage on its way and who waits for it; and a queue for stages that run one after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from vpbsd_sweeps.execution.events import StageState, StageStatus
from vpbsd_sweeps.execution.jobs import Job, Waiter
from vpbsd_sweeps.messages import last_line

SETTLE = 0.5  # seconds in which trials that followed the same stage join a queue


@dataclass
class ScheduledStage:
    """One stage on its way, and who waits for it."""

    job: Job
    session: str
    state: StageState = StageState.QUEUED
    share: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)
    reason: str = ""
    waiting: set[Waiter] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    ref: Any = None
    task: Any = None
    began: float = 0.0

    def become(self, state: StageState, reason: str = "") -> None:
        """Takes a new state and wakes whoever follows."""
        self.state, self.reason = state, reason
        self.wake()

    @property
    def rank(self) -> int:
        """Place of the most urgent trial that waits for it."""
        return min((waiter.rank for waiter in self.waiting), default=0)

    def is_stale(self, session: str) -> bool:
        """Tells whether it must be looked up, and perhaps run, again for a trial of a session.

        One that has ended is, since its result may have vanished; what has failed fails all trials
        of the session that asked for it first.
        """
        failed_here = self.state is StageState.FAILED and self.session == session
        return self.state.is_final and not failed_here

    def end(self, task: asyncio.Task[None]) -> None:
        """Ends as failed where its task ended in any other way: nobody must wait for ever.

        A store that stays away, a worker lost beyond all retries, and the like.
        """
        if not self.state.is_final:
            error = None if task.cancelled() else task.exception()
            self.become(StageState.FAILED, last_line(error) if error else "was cancelled")

    def wake(self) -> None:
        """Wakes whoever follows."""
        self.changed.set()
        self.changed = asyncio.Event()

    def status(self) -> StageStatus:
        """Describes the stage for the display."""
        return StageStatus(
            key=self.job.key,
            family=self.job.family,
            label=self.job.label,
            state=self.state,
            share=self.share,
            waiting=len(self.waiting),
            seconds=time.time() - self.began if self.began else 0.0,
            reason=self.reason,
        )


class SerialQueue:
    """Lets stages through one after the other, the most urgent of those that wait first."""

    def __init__(self) -> None:
        self._busy = False
        self._queue: list[ScheduledStage] = []
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def turn(self, stage: ScheduledStage) -> AsyncIterator[None]:
        """Waits for this stage's turn and holds the queue while the block runs."""
        self._queue.append(stage)
        try:
            await asyncio.sleep(SETTLE)
            async with self._changed:
                await self._changed.wait_for(lambda: not self._busy and self._first() is stage)
                self._busy = True
        finally:
            self._queue.remove(stage)
            await self._wake()  # one that gave up may have been the first
        try:
            yield
        finally:
            self._busy = False
            await self._wake()

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _first(self) -> ScheduledStage:
        return min(self._queue, key=lambda stage: stage.rank)
