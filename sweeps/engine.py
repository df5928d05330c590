"""One stage after another for a trial of a search, from a thread of the driver.

A thread that waits for the conductor costs nothing, so trials of a search need no processes of
their own, and Tune no part in it: its stopped trials would reach Optuna as if they were complete.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal

import ray
from ray.exceptions import RayActorError

from sweeps.cluster import conductor_of, watching
from sweeps.conductor import News, View
from sweeps.slices import Slice
from sweeps.store import Store
from sweeps.tickets import Ticket

PATIENCE = 1.0  # seconds until a waiting thread looks whether it should stop
State = Literal["stored", "failed", "again", "left"]
OnRow = Callable[[dict[str, Any]], bool]
"""Told of each new row; True: the trial is stopped."""


class Engine:
    """Stages through the conductor of a store."""

    def __init__(self, store: Store, slices: dict[str, Slice]) -> None:
        self._conductor = conductor_of(store, slices)
        self._session = os.urandom(8).hex()
        self._stop = threading.Event()

    def stop(self) -> None:
        """Every trial lets go of what it waits for, and says `left`."""
        self._stop.set()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    def watching(self, watch: Callable[[list[View]], None]) -> AbstractContextManager[None]:
        """Within, `watch` hears of all flights of this engine every second or two."""
        return watching(self._conductor, self._session, watch)

    def bring(self, ticket: Ticket, trial: str, on_row: OnRow) -> tuple[State, str]:
        """Waits until a stage is stored; `again`: an input vanished, begin anew upstream."""
        told = 0
        try:
            ray.get(self._conductor.want.remote(ticket, trial, self._session))
            while True:
                news: News = ray.get(self._conductor.watch.remote(ticket.key, told, PATIENCE))
                told += len(news.rows)
                if any([on_row(row) for row in news.rows]) or self.stopped:
                    ray.get(self._conductor.leave.remote(ticket.key, trial))
                    return "left", ""
                if news.state in ("stored", "failed", "again"):
                    return news.state, news.reason
        except RayActorError:
            time.sleep(2)  # the conductor is being rebuilt; the store knows what is done
            return "again", "the conductor was lost"
