"""Runs what the choice of a normalisation lacks, keeps MLflow up to date, and decides."""

from __future__ import annotations

import sys

from vpbsd.pipeline.normalisation import Decision
from vpbsd_sweeps.drivers.session import failures, join, logged
from vpbsd_sweeps.execution.jobs import JobChain, job_of
from vpbsd_sweeps.monitor.sweep_display import SweepDisplay
from vpbsd_sweeps.store.lock import study_lock
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.normalisation import Selection, document
from vpbsd_sweeps.study.plan import OUTLINE, outlined
from vpbsd_sweeps.tracking.normalise_runs import NormaliseLogger
from vpbsd_sweeps.tracking.retry import RetryingTracker
from vpbsd_sweeps.tracking.sqlite import artifacts_beside
from vpbsd_sweeps.tracking.tracker import Tracker


def choose(
    selection: Selection, store: Store, tracking: str, cpus: int | None = None
) -> tuple[Decision, ...]:
    """Trains and measures what is not stored, then decides for every fold.

    Args:
        selection: What is chosen from.
        store: Where stages are looked up and committed.
        tracking: URI of MLflow.
        cpus: Cores of a local Ray; None: all.

    Raises:
        BadInput: The store cannot be written.
    """
    store.files.check_writable()
    with study_lock(selection.name, store) as lock:
        tracker = Tracker(tracking, selection.name, artifacts_beside(tracking))
        logger = NormaliseLogger(selection, store, tracker)
        retrying = RetryingTracker(tracker)
        with logged(retrying, logger, lock):
            for trial, reason in _run(selection, store, cpus).items():
                print(f"{trial} failed, its candidate is left out: {reason}", file=sys.stderr)
        decisions = selection.decisions(store)
        retrying.retry(lambda: logger.conclude(document(decisions)))
        return decisions


def _run(selection: Selection, store: Store, cpus: int | None) -> dict[str, str]:
    """Runs the inner trials that have no result; returns the reason of each that failed."""
    inventory = selection.inventory(store)
    ends = [(trial.candidate, trial.stage) for trial in selection.trials]
    store.studies.write_json(f"{selection.name}/{OUTLINE}", outlined(inventory, ends))
    missing = {stage.key for stage in inventory.missing}
    last = {trial.stage.key: trial for trial in selection.trials if trial.stage.key in missing}
    chains = [
        JobChain(trial.id, tuple(map(job_of, trial.stage.lineage()))) for trial in last.values()
    ]
    if not chains:
        return {}
    session = join(store, cpus, inventory.missing)
    return failures(session.run(chains, SweepDisplay(inventory, session.fit)))
