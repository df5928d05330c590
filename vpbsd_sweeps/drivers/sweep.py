"""From a plan to a table: runs what is missing, keeps MLflow up to date, reads the table back."""

from __future__ import annotations

import sys
from dataclasses import replace

from vpbsd.section import canonical
from vpbsd_sweeps.drivers.session import failures, join, logged
from vpbsd_sweeps.execution import capacity, cluster
from vpbsd_sweeps.execution.jobs import JobChain, job_of
from vpbsd_sweeps.monitor.accounting import Tally
from vpbsd_sweeps.monitor.status import VERDICT
from vpbsd_sweeps.monitor.sweep_display import SweepDisplay
from vpbsd_sweeps.patience import insisting
from vpbsd_sweeps.reporting.analysis import analyse
from vpbsd_sweeps.reporting.checks import choose_baseline
from vpbsd_sweeps.reporting.columns import PRIMARY
from vpbsd_sweeps.reporting.grid import markdown
from vpbsd_sweeps.reporting.records import load_records
from vpbsd_sweeps.reporting.tables import document, main_table
from vpbsd_sweeps.reporting.verdict import verdict
from vpbsd_sweeps.store.lease import Hold
from vpbsd_sweeps.store.lock import study_lock
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.growth import IDENTITY
from vpbsd_sweeps.study.order import spread
from vpbsd_sweeps.study.places import stage_places
from vpbsd_sweeps.study.plan import OUTLINE, Plan, make_plan, outline, placed
from vpbsd_sweeps.study.study import Trial
from vpbsd_sweeps.tracking.retry import RetryingTracker
from vpbsd_sweeps.tracking.sqlite import artifacts_beside
from vpbsd_sweeps.tracking.sweep_runs import SweepLogger
from vpbsd_sweeps.tracking.tracker import Tracker
from vpbsd_sweeps.units import hours


def drive(
    plan: Plan,
    store: Store,
    tracking: str,
    cpus: int | None = None,
    normalisation: str = "",
    *,
    trains: bool = True,
) -> tuple[str, bool]:
    """Brings a study to its end.

    Args:
        plan: The study, and what of it is stored.
        store: Where stages are looked up and committed.
        tracking: URI of MLflow.
        cpus: Cores of a local Ray; None: all.
        normalisation: What was chosen per fold, for the records.
        trains: Whether trials without a result are run; else only masks of other tools are scored.

    Returns:
        The table as Markdown, and whether every trial has a result.

    Raises:
        BadInput: The store cannot be written, or the name belongs to another study.
    """
    store.files.check_writable()
    name = plan.study.name
    with study_lock(name, store) as lock, insisting():
        if store.studies.read_json(f"{name}/{IDENTITY}") != plan.known:
            plan = make_plan(plan.study, store)  # another driver began or grew it meanwhile
        return _drive(plan, store, tracking, cpus, normalisation, lock, trains=trains)


def _drive(
    plan: Plan,
    store: Store,
    tracking: str,
    cpus: int | None,
    normalisation: str,
    lock: Hold,
    *,
    trains: bool,
) -> tuple[str, bool]:
    name = plan.study.name
    tracker = Tracker(tracking, name, artifacts_beside(tracking))
    if canonical(plan.known) != canonical(plan.study.identity):
        _record(plan, store)
    logger = SweepLogger(plan.study, store, tracker, plan, normalisation)
    retrying = RetryingTracker(tracker)
    with logged(retrying, logger, lock):
        failed = _run(plan if trains else plan.without_training(), store, cpus)
    for trial, reason in failed.items():
        print(f"trial {trial} failed: {reason}", file=sys.stderr)
    left = [] if trains else plan.without_result()
    return retrying.retry(lambda: _conclude(logger, failed, left, store)), not (failed or left)


def _record(plan: Plan, store: Store) -> None:
    """Writes what the study consists of, then what makes it this study.

    In that order: a study whose name is taken can be watched.
    """
    name = plan.study.name
    earlier = store.studies.read_json(f"{name}/{OUTLINE}")
    store.studies.write_json(f"{name}/{OUTLINE}", outline(plan, earlier))
    store.studies.write_json(f"{name}/{IDENTITY}", plan.study.identity)


def _conclude(logger: SweepLogger, failed: dict[str, str], left: list[Trial], store: Store) -> str:
    """Logs how all of it ended, and notes the verdict; returns the tables, read from MLflow."""
    logger.catch_up()
    logger.leave(left)
    for trial, reason in failed.items():
        logger.fail(trial, reason)
    records = load_records(logger.tracker, logger.study.name)
    analysis = analyse(records, choose_baseline(records, None))
    tables, answer = document(analysis), verdict(analysis)
    noted = {"trials": len(logger.study.trials), **answer.plain()}
    store.studies.write_json(f"{logger.study.name}/{VERDICT}", noted)
    texts = {"table.md": tables, "plan.txt": "\n".join(logger.plan.lines())}
    scores = {row.arm: row.mean(PRIMARY) for row in analysis.valid}
    ended = max((trial.ended for trial in records.trials), default=0) / 1000
    logger.describe(answer.sentence, markdown(main_table(analysis)), scores, ended)
    logger.conclude(texts, complete=not (failed or left))
    return tables


def _run(plan: Plan, store: Store, cpus: int | None) -> dict[str, str]:
    """Runs the trials that have no result; returns the reason of each that failed."""
    chains = _chains(plan)
    if not chains:
        return {}
    session = join(store, cpus, plan.inventory.missing)
    print(
        f"{len(chains)} trials on {cluster.resources()}, {session.at_once} stages side by side",
        file=sys.stderr,
    )
    tally = Tally(outline(plan), store)
    display = SweepDisplay(plan.inventory, session.fit, tally)
    outcomes = session.run(chains, display, capacity.MORE_TRIALS)
    tally.take(stage.key for stage in plan.inventory.stages)
    print(f"trained in {hours(display.elapsed)}: {tally.hours()}", file=sys.stderr)
    return failures(outcomes)


def _chains(plan: Plan) -> list[JobChain]:
    """Makes a chain of jobs of every trial that has no result, then of what stands beside."""
    missing = {stage.key for stage in plan.inventory.missing}
    trials = [t for t in plan.study.trials if t.stage.key in missing]
    places = stage_places(plan.study)
    jobs = {  # most are shared
        stage.key: replace(job_of(stage), label=placed(stage.label, places.get(stage.key)))
        for stage in plan.inventory.stages
    }
    named = [(t.id, t.stage) for t in spread(trials)]
    beside = [stage for stage in plan.study.beside if stage.key in missing]
    named += [(f"{last.label} {last.key[:6]}", last) for last in beside]
    return [JobChain(name, tuple(jobs[s.key] for s in last.lineage())) for name, last in named]
