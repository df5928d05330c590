"""What processes of this machine share: how many there is room for, and how they end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess

import psutil


def room(memory: int) -> int:
    """Tells how many workers this machine has cores and memory for; 1 at least.

    Args:
        memory: Bytes that one may need.
    """
    fit = int(psutil.virtual_memory().available // memory)
    return max(1, min(len(os.sched_getaffinity(0)), fit))


def start_worker(process: BaseProcess) -> None:
    """Starts a process that leaves Ctrl-C, which a terminal sends to all, to this one.

    From its first moment on: before it could say so itself, it imports for seconds.
    """
    resource_tracker.ensure_running()  # its start, which comes with the first one, unblocks it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin_worker() -> None:
    """Ends this worker with its parent."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
