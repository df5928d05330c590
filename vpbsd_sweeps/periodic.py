"""Something done again and again beside the main work, from a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


@contextmanager
def periodically(step: Callable[[], object], seconds: float) -> Iterator[None]:
    """Takes a step every so many seconds while the block runs; ends with the one under way.

    A step that fails is logged, and the next one is taken all the same.
    """
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(seconds):
            try:
                step()
            except Exception as error:  # whatever it is, the next step may work
                log.warning("tried again in %g s: %s: %s", seconds, type(error).__name__, error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
