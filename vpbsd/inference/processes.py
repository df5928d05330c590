"""Spreads a segmentation over processes of this machine, each on a GPU or on a core."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

import torch

from vpbsd.errors import BadInput
from vpbsd.inference.machine import begin_worker, room, start_worker
from vpbsd.inference.whole import Piece
from vpbsd.inference.work import Run, Spread, Work, here

SPAWN = multiprocessing.get_context("spawn")  # forks of threads, or of CUDA, hang
MEMORY = 2 << 30
"""Bytes that a worker may need."""
PER_GPU = 4
"""Workers that keep one GPU busy: while some read, another computes."""
TRIES = 3
"""Workers that a piece may cost."""


class _Worker(NamedTuple):
    process: multiprocessing.process.BaseProcess
    link: Connection
    device: str


class _Try(NamedTuple):
    piece: Piece
    lost: int = 0


def local(workers: int | None = None) -> Spread:
    """Chooses how many processes of this machine do the work.

    Args:
        workers: How many; by default four for each GPU, or else one for each core, as many as
            there is memory for.
    """
    gpus = torch.cuda.device_count()
    if workers is None:
        workers = min(PER_GPU * gpus, room(MEMORY)) if gpus else room(MEMORY)
    if workers == 1:
        return here
    devices = [f"cuda:{i % gpus}" if gpus else "cpu" for i in range(workers)]
    return partial(processes, devices=devices)


@contextmanager
def processes(work: Work, devices: Sequence[str]) -> Iterator[Run]:
    """Does the work in processes that are started as they are needed.

    Each has one piece at a time, so none waits for another. A process that is lost costs the piece
    that it was at, which another one does again.

    Args:
        work: It travels to every process.
        devices: Where each of them computes.
    """
    work.volume.to("cpu")
    threads = max(1, len(os.sched_getaffinity(0)) // len(devices))
    free, idle = list(devices), list[_Worker]()
    busy: dict[Connection, tuple[_Worker, _Try]] = {}

    def worker() -> _Worker:
        return idle.pop() if idle else _started(work, free.pop(0), threads)

    def run(pieces: Sequence[Piece]) -> Iterator[tuple[Piece, int]]:
        waiting = deque(_Try(piece) for piece in pieces)
        while waiting or busy:
            while waiting and (idle or free):
                given, task = worker(), waiting.popleft()
                busy[given.link] = given, task
                with suppress(OSError):  # it is lost, which is seen below
                    given.link.send(task.piece)
            for link in wait(list(busy)):
                assert isinstance(link, Connection)
                found, task = busy.pop(link)
                try:
                    answer = link.recv()
                except (EOFError, OSError):
                    free.append(found.device)
                    waiting.appendleft(_again(task, found))
                    continue
                idle.append(found)
                if isinstance(answer, BaseException):
                    raise answer
                yield task.piece, answer

    try:
        yield run
    finally:
        for each in [*idle, *(given for given, _ in busy.values())]:
            each.process.kill()
            each.process.join()


def _started(work: Work, device: str, threads: int) -> _Worker:
    mine, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=_serve, args=(theirs, work, device, threads), daemon=True)
    start_worker(process)
    theirs.close()  # else nobody would notice that the process has ended
    return _Worker(process, mine, device)


def _again(task: _Try, worker: _Worker) -> _Try:
    """Counts a lost worker; a piece that costs several is not tried for ever.

    Raises:
        BadInput: It has cost as many as it may.
    """
    worker.process.join()
    if task.lost + 1 < TRIES:
        return task._replace(lost=task.lost + 1)
    place = " ".join(str(side.start) for side in task.piece.box)
    raise BadInput(
        f"{TRIES} processes ended at the block at {place} (exit code {worker.process.exitcode}): "
        "memory may be short; give the command again with fewer --workers"
    )


def _serve(link: Connection, work: Work, device: str, threads: int) -> None:
    """Does what comes over a link, until the other end is gone."""
    begin_worker()
    torch.set_num_threads(threads)
    work.volume.to(device)
    while True:
        try:
            piece = link.recv()
        except EOFError:
            return
        try:
            answer: object = work(piece)
        except (BadInput, OSError) as error:
            answer = error
        link.send(answer)
