"""Spreads tasks over processes of this machine; none outlives the one that began them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import psutil

from vpbsd.errors import BadInput

Task = TypeVar("Task")
MEMORY = 3 << 29
"""Bytes that a worker may need."""


def room() -> int:
    """Tells how many workers this machine has cores and memory for."""
    fit = int(psutil.virtual_memory().available // MEMORY)
    return max(1, min(len(os.sched_getaffinity(0)), fit))


def each(do: Callable[[Task], None], tasks: Sequence[Task], workers: int) -> Iterator[None]:
    """Does tasks, in this process or in several, and yields after each.

    Args:
        do: It travels to the workers, as tasks do.
        tasks: In no order.
        workers: Processes; 1: this one.

    Raises:
        BadInput: A worker has died.
    """
    if workers <= 1:
        for task in tasks:
            do(task)
            yield
        return
    spawn = multiprocessing.get_context("spawn")  # forks of threads hang
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=_begin)
    waiting: set[Future[None]] = set()
    try:
        for task in tasks:
            waiting.add(pool.submit(do, task))
            while len(waiting) >= 2 * workers:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from _ended(done)
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from _ended(done)
    except BrokenProcessPool:
        raise BadInput(
            "a worker process has died, perhaps for want of memory: the same command with fewer "
            "--workers goes on"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _ended(done: set[Future[None]]) -> Iterator[None]:
    for future in done:
        future.result()  # raises what the task did
        yield


def _begin() -> None:
    """Leaves Ctrl-C to the parent, and ends this worker with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
