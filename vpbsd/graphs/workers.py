"""Spreads tasks over processes of this machine; none outlives the one that began them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import TypeVar

from vpbsd.errors import BadInput
from vpbsd.inference.machine import begin_worker, start_worker

Task = TypeVar("Task")
MEMORY = 3 << 29
"""Bytes that a worker may need."""
SPAWN = multiprocessing.get_context("spawn")  # forks of threads hang


def each(do: Callable[[Task], None], tasks: Sequence[Task], workers: int) -> Iterator[None]:
    """Does tasks, in this process or in several, and yields after each.

    Whoever stops early, as by Ctrl-C, does not wait for what is begun.

    Args:
        do: It travels to the workers, as tasks do.
        tasks: In no order.
        workers: Processes; 1: this one.

    Raises:
        BadInput: A worker has died.
    """
    if workers > 1:
        yield from _spread(do, tasks, workers)
        return
    for task in tasks:
        do(task)
        yield


def _spread(do: Callable[[Task], None], tasks: Sequence[Task], workers: int) -> Iterator[None]:
    left, busy, started = list(reversed(tasks)), list[Connection](), []

    def give(link: Connection) -> None:
        if left:
            link.send(left.pop())
            busy.append(link)

    try:
        for _ in range(min(workers, len(tasks))):
            mine, theirs = SPAWN.Pipe()
            process = SPAWN.Process(target=_serve, args=(theirs, do), daemon=True)
            start_worker(process)
            started.append(process)
            theirs.close()  # else nobody would notice that the process has ended
            give(mine)
        while busy:
            for link in wait(busy):
                assert isinstance(link, Connection)
                busy.remove(link)
                error = link.recv()
                if error is not None:
                    raise error
                yield
                give(link)
    except (EOFError, ConnectionError):
        raise BadInput(
            "a worker process has died, perhaps for want of memory: the same command with fewer "
            "--workers goes on"
        ) from None
    finally:
        for process in started:
            process.kill()
            process.join()


def _serve(link: Connection, do: Callable[[Task], None]) -> None:
    """Does what comes over a link, until the other end is gone."""
    begin_worker()
    while True:
        try:
            task = link.recv()
        except EOFError:
            return
        error = None
        try:
            do(task)
        except (BadInput, OSError) as raised:
            error = raised
        link.send(error)
