"""A stage over several processes, one per GPU: Ray Train starts them, and they train in step.

The first of them does what a stage in one process does; the others only compute their part of
each batch (`vpbsd.distributed`). If one is lost, with its node or alone, all of them begin anew
from the last checkpoint.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping

from vpbsd_sweeps.execution.jobs import Job
from vpbsd_sweeps.execution.slices import Slice
from vpbsd_sweeps.store.results import Store

STARTS = 20  # at most, after lost processes; each goes on from the newest checkpoint


def run_on_ranks(job: Job, store: Store, piece: Slice, work: Callable[[], None]) -> None:
    """Runs a stage in so many processes as the slice says.

    Args:
        job: The stage.
        store: Ray Train keeps its notes there, where all nodes see them.
        piece: What each process gets, and how many there are.
        work: Called in each process, within a process group.

    Raises:
        RuntimeError: The work itself failed; what it said is in the message.
    """
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"  # relative paths stay what they are
    from pyarrow.fs import FSSpecHandler, PyFileSystem
    from ray.train import FailureConfig, RunConfig, ScalingConfig, WorkerGroupError
    from ray.train.torch import TorchTrainer

    logging.getLogger("ray.train").setLevel(logging.ERROR)
    share = {"CPU": float(piece.cpus)} | ({"GPU": piece.gpus} if piece.gpus else {})
    folder, files = store.checkpoints.notes(job.key)
    for start in range(STARTS):
        trainer = TorchTrainer(
            work,
            scaling_config=ScalingConfig(
                num_workers=piece.ranks, use_gpu=piece.gpus > 0, resources_per_worker=share
            ),
            run_config=RunConfig(
                name=f"start-{start}",
                storage_path=folder,
                storage_filesystem=PyFileSystem(FSSpecHandler(files)),
                failure_config=FailureConfig(max_failures=0),
            ),
        )
        try:
            trainer.fit()
        except WorkerGroupError as error:
            if start + 1 == STARTS or not _lost(error.worker_failures):
                raise RuntimeError(_reason(error.worker_failures)) from error
        else:
            return


def _lost(failures: Mapping[int, Exception]) -> bool:
    """Tells whether a process is gone; those that wait for it fail too, in their own words."""
    return any(hasattr(failure, "health_check_failure") for failure in failures.values())


def _reason(failures: Mapping[int, Exception]) -> str:
    """Returns the last line of the first process's traceback."""
    return str(failures[min(failures)]).strip().splitlines()[-1]
