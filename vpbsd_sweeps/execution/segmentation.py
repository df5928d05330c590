"""Spreads the segmentation of one volume over a Ray cluster: `vpbsd segment --cluster`."""

from __future__ import annotations

import os
import platform
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from vpbsd.errors import BadInput
from vpbsd.inference.processes import PER_GPU, TRIES
from vpbsd.inference.whole import Piece
from vpbsd.inference.work import Run, Spread, Work
from vpbsd_sweeps.execution.cluster import connect

AHEAD = 2
"""Pieces that are handed to Ray for each that can run at once."""


def on_cluster(address: str) -> Spread:
    """Chooses a Ray cluster to do the work.

    Args:
        address: HOST:PORT of its head, or "auto": the head on this host.
    """
    return partial(cluster, address=address)


@contextmanager
def cluster(work: Work, address: str | None = None) -> Iterator[Run]:
    """Does the work as Ray tasks, a piece each; Ray repeats those whose worker or node is lost.

    Args:
        work: Every node finds its volume and its mask at the same paths.
        address: See `on_cluster`; None: a Ray that this process has joined.

    Raises:
        BadInput: The cluster does not answer, a node does not see the mask, or a piece costs
            several workers.
    """
    if address is not None:
        os.environ["RAY_ADDRESS"] = address
    connect()
    work.volume.to("cpu")
    shared, running = ray.put(work), dict[Any, Piece]()

    def run(pieces: Sequence[Piece]) -> Iterator[tuple[Piece, int]]:
        waiting = deque(pieces)
        while waiting or running:
            gpus, cores = (int(ray.cluster_resources().get(kind, 0)) for kind in ("GPU", "CPU"))
            most = AHEAD * max(1, PER_GPU * gpus or cores)  # nodes come and go
            needs = {"num_cpus": 1, "num_gpus": 1 / PER_GPU if gpus else 0}
            while waiting and len(running) < most:
                piece = waiting.popleft()
                running[_compute.options(**needs).remote(shared, piece)] = piece
            ((done, *_), _) = ray.wait(list(running))
            yield running.pop(done), _answer(done)

    try:
        yield run
    finally:  # on an error or Ctrl-C what was handed to Ray would go on
        for task in running:
            ray.cancel(task)


def _answer(done: Any) -> int:  # noqa: ANN401 (an object reference)
    try:
        return int(ray.get(done))
    except RayTaskError as error:
        if isinstance(error.cause, BadInput | OSError):
            raise error.cause from None
        raise
    except RayError as error:
        raise BadInput(
            f"{TRIES} workers ended at one block ({type(error).__name__}): memory may be short"
        ) from error


@ray.remote(max_retries=TRIES - 1)  # type: ignore[untyped-decorator]
def _compute(work: Work, piece: Piece) -> int:
    """Computes a piece on whatever node this is."""
    if not work.file.path.exists():  # a folder of its own would be made, and filled
        raise BadInput(
            f"{work.file.path} is not on node {platform.node()}: every node must find the volume "
            "and the mask at the same path, as on NFS"
        )
    import torch

    work.volume.to("cuda" if torch.cuda.is_available() else "cpu")
    return work(piece)
