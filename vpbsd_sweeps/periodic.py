"""Something done again and again beside the main work, from a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def periodically(step: Callable[[], object], seconds: float) -> Iterator[None]:
    """Takes a step every so many seconds while the block runs; ends with the one under way."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(seconds):
            step()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
