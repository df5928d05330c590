"""Stage tasks: what Ray runs on a slice of the cluster."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import ray

from vpbsd_sweeps.execution.jobs import SYSTEM_RETRIES, Job
from vpbsd_sweeps.execution.memory import GB
from vpbsd_sweeps.execution.slices import Slice
from vpbsd_sweeps.execution.stage_leases import holding, stage_lease
from vpbsd_sweeps.store.lease import Term
from vpbsd_sweeps.store.results import Store


class StageTask(NamedTuple):
    """A stage to be run, on what, and who is told of it.

    Attributes:
        job: The stage.
        url: Of the store.
        mark: What the store's mark says, where it is a folder.
        piece: The slice of the cluster.
        scheduler: The actor that submitted it.
        owner: Names the scheduler in leases.
        lapsed: A term of another cluster that need not be waited for any longer.
        term: That of this task's own lease, while it is held.
    """

    job: Job
    url: str
    mark: str
    piece: Slice
    scheduler: Any
    owner: str
    lapsed: Term | None = None
    term: Term | None = None


def submit(task: StageTask) -> Any:  # noqa: ANN401 (an object reference)
    """Hands a stage to Ray, which runs it as soon as its slice is free."""
    piece = task.piece
    alone = piece.ranks == 1  # else the processes hold what they need, and their task nothing
    cpus, gpus = (piece.cpus, piece.gpus) if alone else (0, 0)
    options = {"num_cpus": cpus, "num_gpus": gpus, "name": task.job.label}
    if alone and piece.memory:
        options["memory"] = int(piece.memory * GB)
    return run_stage.options(**options).remote(task)


@ray.remote(max_retries=SYSTEM_RETRIES)  # type: ignore[untyped-decorator]
def run_stage(task: StageTask) -> bool:
    """Runs a stage in this process, or in several that it waits for.

    Returns:
        Whether another cluster runs it already; then nothing was done here.
    """
    store = Store(task.url)
    store.files.check_mark(task.mark)  # nodes that come later are checked here
    with holding(store, task.job, task.owner, task.lapsed) as term:
        if term is not None:
            _run(task._replace(term=term), store)
    return term is None


def _run(task: StageTask, store: Store) -> None:
    if task.piece.ranks == 1:
        work(task)
        return
    from vpbsd_sweeps.execution.distributed import run_on_ranks

    run_on_ranks(task.job, store, task.piece, partial(work, task))


def work(task: StageTask) -> None:
    """Runs a stage on its slice; threads and GPU memory are set before anything heavy starts."""
    store, piece = Store(task.url), task.piece
    store.files.check_mark(task.mark)  # with several ranks, each may be on a node of its own
    import torch

    from vpbsd.distributed import rank
    from vpbsd_sweeps.execution.memory import too_small
    from vpbsd_sweeps.execution.worker import execute, run_follower

    torch.set_num_threads(piece.cpus)
    if piece.gpus and torch.cuda.is_available():
        if piece.ranks > 1:
            from ray.train.torch import get_device

            torch.cuda.set_device(get_device())
        torch.cuda.set_per_process_memory_fraction(min(piece.gpus, 1.0))
    if rank() > 0:
        run_follower(task.job, store)
        return

    def report(first: int, rows: list[dict[str, float | str]], share: float) -> None:
        task.scheduler.report.remote(task.job.key, first, rows, share)

    report(0, [], 0.0)
    assert task.term is not None
    check = partial(stage_lease(store, task.job).check, task.term)
    try:
        execute(task.job, store, report, check)
    except torch.OutOfMemoryError as error:
        raise too_small(error, task.job.family, piece) from None
    finally:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # Ray keeps the process, which would keep it from others
