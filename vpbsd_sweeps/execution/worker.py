"""Runs one stage in one process: inputs from the store, checkpoints to it, result committed."""

from __future__ import annotations

import functools
import json
import math
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from vpbsd_sweeps.execution.checkpointing import CHECKPOINT, Checkpointer, Report
from vpbsd_sweeps.execution.jobs import Job
from vpbsd_sweeps.execution.memory import forget_peaks, peaks
from vpbsd_sweeps.execution.system_metrics import METRICS_FILE, SystemMetrics
from vpbsd_sweeps.patience import patiently
from vpbsd_sweeps.provenance import commit
from vpbsd_sweeps.store.lease import LeaseLost
from vpbsd_sweeps.store.results import Absent, Damaged, Store


def execute(
    job: Job, store: Store, report: Report, check: Callable[[], None] = lambda: None
) -> None:
    """Runs a stage from its newest checkpoint to its committed result.

    Args:
        job: The stage.
        store: Holds its inputs; receives rows, checkpoints and the result.
        report: Told of new rows and of the share done.
        check: Called before anything is written; raises where another process runs the stage by
            now. Should that happen between the look and a commit, the first commit is kept, and
            both are the same to the last bit.

    Raises:
        LeaseLost: As `check` says.
        Damaged: An input is not what was committed; it has been set aside.
        Absent: An input is not stored (any more).
        Diverged: A loss is not finite.
        ValueError: An evaluation has no DSC, or one that is no number.
    """
    if patiently(lambda: store.state(job.key)) == "stored":
        return
    try:
        _train(job, store, report, check)
    except LeaseLost:  # a checkpoint that was on its way may have come after the other's end
        if patiently(lambda: store.state(job.key)) == "stored":
            patiently(lambda: store.checkpoints.clear(job.key))
        raise
    patiently(lambda: store.checkpoints.clear(job.key))


def _train(job: Job, store: Store, report: Report, check: Callable[[], None]) -> None:
    inputs = _open_inputs(job, store)
    forget_peaks()
    with TemporaryDirectory(prefix="vpbsd-") as room:
        out, kept = Path(room, "out"), Path(room, CHECKPOINT)
        out.mkdir()
        checkpointer = Checkpointer(store, job.key, kept, check)
        with SystemMetrics() as metrics:
            for step in job.run(inputs, out, patiently(checkpointer.resume)):
                new = checkpointer.record(step)
                report(len(step.rows) - len(new), new, step.share)
        if job.family == "evaluation":
            _refuse_unmeasured(out)
        (out / METRICS_FILE).write_text(json.dumps(metrics.rows))
        measured = _measurements(job, out, checkpointer.seconds())
        patiently(check)
        patiently(lambda: store.commit(job.key, out, measured))


def run_follower(job: Job, store: Store) -> None:
    """Takes part in a stage's training, which another process reports and saves."""
    inputs = _open_inputs(job, store)
    with TemporaryDirectory(prefix="vpbsd-") as room:
        out, kept = Path(room, "out"), Path(room, CHECKPOINT)
        out.mkdir()
        saved = patiently(lambda: store.checkpoints.fetch(job.key, CHECKPOINT, kept))
        for step in job.run(inputs, out, kept if saved else None):
            if step.share >= 1:
                return


def _open_inputs(job: Job, store: Store) -> dict[str, Path]:
    """Opens the results that a stage rests on; one that is gone or damaged is told at once."""
    return {
        name: patiently(functools.partial(store.open, key), but=(Absent, Damaged))
        for name, key in job.upstream.items()
    }


def _refuse_unmeasured(out: Path) -> None:
    """Fails an evaluation without a score: it must enter no mean, and end no sweep."""
    for row in json.loads((out / "rows.json").read_text()):
        if not math.isfinite(row.get("dsc", math.nan)):
            volume = row.get("volume", "a volume")
            raise ValueError(f"the DSC of {volume} is {row.get('dsc', 'missing')}")


def _measurements(job: Job, out: Path, seconds: float) -> dict[str, str | float | None]:
    """Collects what cannot change the result but belongs to its story: time, machine, versions."""
    import torch

    from vpbsd.distributed import ranks

    summary = json.loads((out / "summary.json").read_text())
    cuda = torch.cuda.is_available()
    return {
        "family": job.family,
        "label": job.label,
        "void": summary["void"],
        "seconds": seconds,
        "finished": time.time(),
        "device": torch.cuda.get_device_name() if cuda else platform.processor() or "cpu",
        "threads": float(torch.get_num_threads()),
        "ranks": float(ranks()),
        **peaks(),
        "host": platform.node(),
        "commit": commit(),
        "python": platform.python_version(),
        **_versions(),
    }


@functools.cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "monai", "numpy")}
