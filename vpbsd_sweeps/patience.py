"""Patience with a store that is away for a while: what is asked of it is asked again."""

from __future__ import annotations

import functools
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

from vpbsd.errors import BadInput
from vpbsd_sweeps.messages import last_line

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds between two tries


def store_patience() -> float:
    """Returns for how many seconds a store may be away: `VPBSD_STORE_PATIENCE`, else 600."""
    return float(os.environ.get("VPBSD_STORE_PATIENCE", "600"))


def pauses(patience: float) -> Iterator[float]:
    """Yields growing pauses in seconds until so many seconds have gone by."""
    deadline, pause = time.monotonic() + patience, FIRST_PAUSE
    while time.monotonic() + pause < deadline:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE)


def patiently(step: Callable[[], T], *, but: tuple[type[Exception], ...] = ()) -> T:
    """Does a step that needs the store, again and again while the store does not answer.

    Args:
        step: May be done twice.
        but: Errors that another try would not mend; `BadInput` is always one.

    Raises:
        Exception: What the step raised last.
    """
    final: tuple[type[Exception], ...] = (BadInput, *but)
    for tries, pause in enumerate(pauses(store_patience())):
        try:
            return step()
        except final:
            raise
        except Exception as error:  # every kind of store has exceptions of its own
            if tries == 1:
                log.warning("the store does not answer, and is asked again: %s", last_line(error))
            time.sleep(pause)
    return step()


_insists: ContextVar[bool] = ContextVar("insists", default=False)


@contextmanager
def insisting(on: bool = True) -> Iterator[None]:
    """Has the store asked patiently for all that the block asks of it.

    In this thread only: what is done again and again from other threads needs no patience, and
    would keep a driver from ending.
    """
    before = _insists.set(on)
    try:
        yield
    finally:
        _insists.reset(before)


def asks_store(*but: type[Exception]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Makes a method patient where its thread insists; the outermost one of several is.

    Args:
        but: Errors that another try would not mend.
    """

    def wrap(method: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(method)
        def ask(*args: P.args, **kwargs: P.kwargs) -> T:
            if not _insists.get():
                return method(*args, **kwargs)
            with insisting(False):
                return patiently(lambda: method(*args, **kwargs), but=but)

        return ask

    return wrap
