"""MLflow may be away: what it has to hear waits, and arrives later, in order, once.

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
from vpbsd_sweeps.tracking.permanent import is_permanent
from vpbsd_sweeps.tracking.tracker import AWAY, Tracker

T = TypeVar("T")
EVERY = 5.0  # seconds
PATIENCE = 600.0
"""Seconds for which a driver that has trained everything waits for MLflow."""


class RetryingTracker:
    """Steps that talk to MLflow, taken whether it answers or not.

    Says once that MLflow is away, and once that it is back.

    Args:
        tracker: What the steps use; read anew after an outage, in which answers may be lost.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker, self._away = tracker, False

    def try_once(self, step: Callable[[], None]) -> Exception | None:
        """Takes a step; prints what went wrong, and returns it."""
        try:
            if self._away:
                self._tracker.reload_runs()
            step()
        except Exception as error:  # whatever it is, training goes on
            if not self._away:
                how = "refuses what it is told" if is_permanent(error) else "cannot be told now"
                self._print(f"{how}, all of it comes later: {reason(error)}")
            self._away = True
            return error
        if self._away:
            self._print("was told all of it now")
        self._away = False
        return None

    def retry(self, step: Callable[[], T]) -> T:
        """Takes a step again and again until it works: for what must arrive before the end.

        Raises:
            BadInput: MLflow was away for too long, or refuses what it is told.
        """
        results: list[T] = []
        deadline = time.monotonic() + PATIENCE
        self.try_once(self._tracker.reload_runs)
        refused = 0
        while (error := self.try_once(lambda: results.append(step()))) is not None:
            if not isinstance(error, AWAY):
                raise error
            refused += is_permanent(error)
            if refused > 1:  # once may be because runs were deleted, which are read anew
                raise BadInput(
                    f"all is trained and stored, but MLflow at {self._tracker.place} refuses what "
                    f"it is told, and waiting would not mend that: {reason(error)}"
                )
            if time.monotonic() > deadline:
                raise BadInput(
                    f"all is trained and stored, but MLflow at {self._tracker.place} does not "
                    f"answer ({reason(error)}): give the same command again when it does"
                )
            time.sleep(EVERY)
        return results[0]

    def in_background(self, step: Callable[[], None]) -> AbstractContextManager[None]:
        """Takes a step every few seconds while the block runs, from a thread of its own."""
        return periodically(lambda: self.try_once(step), EVERY)

    def _print(self, what: str) -> None:
        print(f"MLflow at {self._tracker.place} {what}", file=sys.stderr, flush=True)
