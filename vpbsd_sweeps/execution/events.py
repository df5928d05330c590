"""What the scheduler says of a stage: its state, its new rows, a line for the display."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

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


OnRow = Callable[[dict[str, Any]], None]
"""Receives each new row of a stage."""
Follow = Callable[[Job, OnRow], tuple[StageState, str]]
"""Waits until a stage is stored or failed; returns its last state and the reason."""
