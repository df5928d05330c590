"""A stage on its way, and who waits for it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from vpbsd_sweeps.execution.events import StageState, StageStatus
from vpbsd_sweeps.execution.jobs import Job, Waiter
from vpbsd_sweeps.messages import last_line


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
