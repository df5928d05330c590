"""From a plan to a table: runs what is missing, keeps MLflow up to date, reads the table back."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from pathlib import Path

from vpbsd.errors import BadInput
from vpbsd_sweeps.execution import capacity, cluster
from vpbsd_sweeps.execution.jobs import JobChain, job_of
from vpbsd_sweeps.execution.trials import run_trials
from vpbsd_sweeps.monitor.accounting import Tally
from vpbsd_sweeps.monitor.sweep_display import SweepDisplay
from vpbsd_sweeps.reporting.analysis import analyse
from vpbsd_sweeps.reporting.checks import choose_baseline
from vpbsd_sweeps.reporting.records import load_records
from vpbsd_sweeps.reporting.tables import document
from vpbsd_sweeps.store.lock import study_lock
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.identity import first_difference
from vpbsd_sweeps.study.plan import OUTLINE, Plan, outline
from vpbsd_sweeps.tracking.retry import RetryingTracker
from vpbsd_sweeps.tracking.sweep_runs import SweepLogger
from vpbsd_sweeps.tracking.tracker import Tracker
from vpbsd_sweeps.units import hours

MORE_TRIALS = 6  # alive than slices: students of one fold, while the next teacher is trained


def drive(plan: Plan, store: Store, tracking: str, cpus: int | None = None) -> tuple[str, bool]:
    """Brings a study to its end.

    Returns:
        The table as Markdown, and whether every trial has a result.

    Raises:
        BadInput: The store cannot be written, or the name belongs to another study.
    """
    store.check_writable()
    with study_lock(plan.study.name, store):
        return _drive(plan, store, tracking, cpus)


def _drive(plan: Plan, store: Store, tracking: str, cpus: int | None) -> tuple[str, bool]:
    study = plan.study
    tracker = Tracker(tracking, study.name, artifacts_beside(tracking))
    claim(plan, store)
    logger, retrying = SweepLogger(study, store, tracker, plan), RetryingTracker(tracker)
    try:
        failed = _run(plan, store, retrying.in_background(logger.catch_up), cpus)
    except KeyboardInterrupt:
        retrying.try_once(logger.interrupt)
        raise
    for trial, reason in failed.items():
        print(f"trial {trial} failed: {reason}", file=sys.stderr)
    return retrying.retry(lambda: _conclude(logger, failed)), not failed


def _conclude(logger: SweepLogger, failed: dict[str, str]) -> str:
    """Tells MLflow how all of it ended; returns the tables, read back from there."""
    logger.catch_up()
    for trial, reason in failed.items():
        logger.fail(trial, reason)
    records = load_records(logger.tracker, logger.study.name)
    tables = document(analyse(records, choose_baseline(records, None)))
    texts = {"table.md": tables, "plan.txt": "\n".join(logger.plan.lines())}
    logger.conclude(texts, complete=not failed)
    return tables


def claim(plan: Plan, store: Store) -> None:
    """Takes a study's name in the store, or finds that it is the same study.

    What its trials and stages are is written down beside, for whoever watches.

    Raises:
        BadInput: The name belongs to a study with other facts; the first difference is named.
    """
    study, place = plan.study, f"{plan.study.name}/study.json"
    known = store.read_json(place)
    if known is None:
        store.write_json(f"{study.name}/{OUTLINE}", outline(plan))
        store.write_json(place, study.facts)  # last: a study that is claimed can be watched
        return
    difference = first_difference(study.facts, known)
    if difference:
        raise BadInput(
            f"study '{study.name}' was started with another configuration ({difference}): "
            "pass --study NAME for a new one"
        )


def artifacts_beside(tracking: str) -> str | None:
    """Where a SQLite-backed MLflow keeps files: beside the database. A server knows its own."""
    if not tracking.startswith("sqlite:///"):
        return None
    return (Path(tracking.removeprefix("sqlite:///")).parent / "artifacts").resolve().as_uri()


def _run(
    plan: Plan, store: Store, told: AbstractContextManager[None], cpus: int | None
) -> dict[str, str]:
    """Runs the trials that have no result; returns the reason of each that failed."""
    if not plan.stock.missing:
        return {}
    missing = {stage.key for stage in plan.stock.missing}
    wanted = [t for t in plan.study.trials if t.stage.key in missing]
    wanted.sort(key=lambda t: any(s.family == "fine-tuning" for s in t.stage.lineage()))
    chains = [
        JobChain(t.id, tuple(job_of(s) for s in t.stage.lineage()), rank)
        for rank, t in enumerate(wanted)  # what needs no teacher fills the other core, then folds
    ]
    chains += [
        JobChain(stage.label, (job_of(stage),))
        for stage in plan.study.timings
        if stage.key in missing
    ]
    cluster.connect(cpus)
    slices, side_by_side = capacity.offered()
    print(
        f"{len(chains)} trials on {cluster.describe()}, {side_by_side} stages side by side",
        file=sys.stderr,
    )
    tally = Tally(outline(plan), store)
    with SweepDisplay(plan.stock, side_by_side, tally) as display, told:
        outcomes = run_trials(chains, store, slices, side_by_side + MORE_TRIALS, display.show)
    tally.take(stage.key for stage in plan.stock.stages)
    print(f"trained in {hours(display.elapsed)}: {tally.hours()}", file=sys.stderr)
    if any(outcome == "interrupted" for outcome, _ in outcomes.values()):
        raise KeyboardInterrupt
    return {trial: why for trial, (outcome, why) in outcomes.items() if outcome == "failed"}
