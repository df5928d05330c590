"""What processes of this machine share: how many there is room for, and how they end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading

import psutil


def room(memory: int) -> int:
    """Tells how many workers this machine has cores and memory for; 1 at least.

    Args:
        memory: Bytes that one may need.
    """
    fit = int(psutil.virtual_memory().available // memory)
    return max(1, min(len(os.sched_getaffinity(0)), fit))


def begin_worker() -> None:
    """Leaves Ctrl-C, which reaches all, to the parent, and ends this worker with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
