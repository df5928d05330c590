"""What the scheduler says of a stage: its state, its new rows, a line for the display."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from vpbsd_sweeps.execution.jobs import Job


class StageState(StrEnum):
    """Where a stage stands on its way to the store."""

    QUEUED = "queued"
    """Waits for its turn or for a slice of the cluster."""
    RUNNING = "running"
    """Has reported from its worker."""
    STORED = "stored"
    """Its result is committed."""
    FAILED = "failed"
    """It ended for a reason of its own, and its trials end with it."""
    AGAIN = "again"
    """An input vanished or the scheduler was lost: whoever waits begins anew upstream."""
    LEFT = "left"
    """Whoever waited has let go of it; the stage itself may go on for others."""

    @property
    def is_final(self) -> bool:
        """True where the scheduler will do nothing more about it."""
        return self in (StageState.STORED, StageState.FAILED, StageState.AGAIN)


@dataclass(frozen=True)
class StageUpdate:
    """What is new of a stage since its follower asked last."""

    state: StageState
    rows: list[dict[str, Any]]
    reason: str


@dataclass(frozen=True)
class StageStatus:
    """A stage as the display shows it.

    Attributes:
        share: Part of it that is done, in [0, 1].
        waiting: How many trials wait for it.
        seconds: Since its worker reported first.
    """

    key: str
    family: str
    label: str
    state: StageState
    share: float
    waiting: int
    seconds: float
    reason: str


class StageFollower(Protocol):
    """What a trial of a search needs of the cluster; `client.Engine` is one, tests have others."""

    def follow(
        self, job: Job, trial: str, on_row: Callable[[dict[str, Any]], bool]
    ) -> tuple[StageState, str]:
        """Waits until a stage is stored, failed or left; returns the state and its reason."""

    def stop(self) -> None:
        """Makes every trial let go of what it waits for."""

    @property
    def stopped(self) -> bool:
        """True once `stop` was called."""
