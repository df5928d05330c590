"""Patience with a store that is away for a while: what is asked of it is asked again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from vpbsd.errors import BadInput

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
    for pause in pauses(store_patience()):
        try:
            return step()
        except final:
            raise
        except Exception:  # every kind of store has exceptions of its own
            time.sleep(pause)
    return step()
