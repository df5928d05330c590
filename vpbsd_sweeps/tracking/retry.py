"""MLflow may be away: what it is to be told waits, and arrives later, in order, once.

Nothing is kept for it meanwhile: what MLflow shows is a function of the study and the store.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from vpbsd.errors import BadInput
from vpbsd_sweeps.messages import reason
from vpbsd_sweeps.periodic import periodically
from vpbsd_sweeps.tracking.tracker import AWAY, Tracker

T = TypeVar("T")
EVERY = 5.0
PATIENCE = 600.0
"""Seconds for which a driver that has trained everything waits for MLflow."""


class RetryingTracker:
    """Tells MLflow, whether it answers or not; says once that it is away, and once it is back.

    Args:
        tracker: What is told through; read anew after an outage, in which answers may be lost.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker, self._away = tracker, False

    def attempt(self, step: Callable[[], None]) -> Exception | None:
        """Tries once; what went wrong is said, and returned."""
        try:
            if self._away:
                self._tracker.mend()
            step()
        except Exception as error:  # whatever it is, training goes on
            if not self._away:
                self._say(f"cannot be told now, all of it comes later: {reason(error)}")
            self._away = True
            return error
        if self._away:
            self._say("was told all of it now")
        self._away = False
        return None

    def retry(self, step: Callable[[], T]) -> T:
        """Tries until it works: for what must be told before a program ends.

        Raises:
            BadInput: MLflow was away for too long.
        """
        told: list[T] = []
        deadline = time.monotonic() + PATIENCE
        self.attempt(self._tracker.mend)
        while (error := self.attempt(lambda: told.append(step()))) is not None:
            if not isinstance(error, AWAY):
                raise error
            if time.monotonic() > deadline:
                raise BadInput(
                    f"all is trained and stored, but MLflow at {self._tracker.place} does not "
                    f"answer ({reason(error)}): give the same command again when it does"
                )
            time.sleep(EVERY)
        return told[0]

    def _say(self, what: str) -> None:
        print(f"MLflow at {self._tracker.place} {what}", file=sys.stderr, flush=True)


def delivering(reach: RetryingTracker, step: Callable[[], None]) -> AbstractContextManager[None]:
    """Within, MLflow is brought up to date every few seconds."""
    return periodically(lambda: reach.attempt(step), EVERY)
