"""Draws batches ahead in a thread, so that training does not wait for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

B = TypeVar("B")

AHEAD = 2
"""Batches that are ready or being made: one hides the drawing, one more its unevenness."""


def prefetched(draw: Callable[[int], B], steps: range) -> Iterator[B]:
    """Yields `draw(step)` for each step, in order; a thread draws the next while one is in use.

    What is drawn depends on the step alone, so it is the same as without the thread. An error of
    `draw` is raised where its batch would have come. Closing the iterator ends the thread.

    >>> list(prefetched(lambda step: step**2, range(3, 6)))
    [9, 16, 25]
    """
    with ThreadPoolExecutor(1, "patches") as thread:
        ready: deque[Future[B]] = deque()
        try:
            for step in steps:
                ready.append(thread.submit(draw, step))
                if len(ready) > AHEAD:
                    yield ready.popleft().result()
            while ready:
                yield ready.popleft().result()
        finally:
            for batch in ready:
                batch.cancel()
