"""Runs a search: what is missing in its journal, MLflow kept up to date, the report."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from vpbsd.errors import BadInput
from vpbsd.pipeline.stages import Stage
from vpbsd_sweeps.drivers.session import join, logged
from vpbsd_sweeps.execution import cluster
from vpbsd_sweeps.execution.search_trials import Rule
from vpbsd_sweeps.monitor.search_display import SearchDisplay
from vpbsd_sweeps.patience import insisting
from vpbsd_sweeps.periodic import periodically
from vpbsd_sweeps.reporting.search_figures import draw_search
from vpbsd_sweeps.reporting.search_tables import report
from vpbsd_sweeps.store.lock import study_lock
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.tracking.retry import RetryingTracker
from vpbsd_sweeps.tracking.search_runs import SearchLogger
from vpbsd_sweeps.tracking.sqlite import artifacts_beside
from vpbsd_sweeps.tracking.tracker import Tracker
from vpbsd_sweeps.tuning.journal import Journal, read_search
from vpbsd_sweeps.tuning.listing import StageLister
from vpbsd_sweeps.tuning.ranking import best
from vpbsd_sweeps.tuning.sampler import ConfigSampler
from vpbsd_sweeps.tuning.search_spec import Search
from vpbsd_sweeps.tuning.searcher import Searcher, missing, rebuilt
from vpbsd_sweeps.tuning.trial import run_trial

LISTS_EVERY = 60.0  # seconds; what is younger than an hour needs no list


def drive(
    search: Search,
    store: Store,
    tracking: str,
    trials: int,
    warm_from: list[str],
    cpus: int | None = None,
) -> tuple[str, Journal]:
    """Brings a search to its end.

    Args:
        search: The search.
        store: Where stages and the journal are.
        tracking: URI of MLflow.
        trials: In all, those of earlier drivers included.
        warm_from: Names of searches to learn from.
        cpus: Cores of a local Ray; None: all.

    Returns:
        The report as Markdown, and the journal.

    Raises:
        BadInput: The store cannot be written, or the name belongs to another search.
    """
    store.files.check_writable()
    with study_lock(search.name, store) as lock, insisting():
        tracker = Tracker(tracking, search.name, artifacts_beside(tracking))
        journal = Journal(store, search.name)
        journal.claim(search.identity)
        sampler = rebuilt(search, journal, [read_search(store, name) for name in warm_from])
        logger = SearchLogger(search, journal, store, tracker)
        retrying, lister = RetryingTracker(tracker), StageLister(search, journal, store)
        lister.catch_up()
        if missing(journal, trials):
            with (
                logged(retrying, logger, lock),
                periodically(lister.catch_up, LISTS_EVERY),
            ):
                _run(search, journal, sampler, store, trials, cpus)
        lister.catch_up()
        text = report(search, journal)
        finished = [(journal.asked[trial.number], trial.value or 0.0) for trial in best(journal)]
        with TemporaryDirectory() as figures:
            draw_search(search.space, finished, Path(figures))
            retrying.retry(lambda: logger.conclude(text, Path(figures)))
        return text, journal


def _run(
    search: Search,
    journal: Journal,
    sampler: ConfigSampler,
    store: Store,
    trials: int,
    cpus: int | None,
) -> None:
    session = join(store, cpus, _sample(search))
    print(f"{session.at_once} trials side by side on {cluster.resources()}", file=sys.stderr)
    display = SearchDisplay(search, journal, store, trials)
    asked = Searcher(search, journal, sampler, trials)
    rule = Rule(search.scheduler, search.rungs)
    session.search(asked, partial(run_trial, search), rule, display)
    if missing(journal, trials):
        raise KeyboardInterrupt  # Tune was told to stop, by SIGUSR1


def _sample(search: Search) -> Iterable[Stage]:
    """Lists the stages of a trial of its settings: most are of that size."""
    try:
        return next(search.trials({})).stage.lineage()
    except BadInput:  # they cannot be trained until the space has chosen
        return ()
