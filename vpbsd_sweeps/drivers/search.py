"""Runs a search: what is missing in its journal, MLflow kept up to date, the report."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from vpbsd_sweeps.reporting.search_figures import draw_search
from vpbsd_sweeps.reporting.search_tables import report
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.tracking.tracker import Tracker
from vpbsd_sweeps.tuning.journal import Journal
from vpbsd_sweeps.tuning.ranking import best
from vpbsd_sweeps.tuning.sampler import ConfigSampler
from vpbsd_sweeps.tuning.search_spec import Search
from vpbsd_sweeps.tuning.tuner import Searcher, missing


def drive_search(
    search: Search,
    journal: Journal,
    chooser: ConfigSampler,
    store: Store,
    tracker: Tracker,
    args: argparse.Namespace,
) -> str:
    """Runs what is missing and keeps MLflow up to date; returns the report."""
    from vpbsd_sweeps.execution import capacity, cluster
    from vpbsd_sweeps.execution.client import Engine
    from vpbsd_sweeps.monitor.search_display import SearchDisplay
    from vpbsd_sweeps.tracking.retry import RetryingTracker
    from vpbsd_sweeps.tracking.search_runs import SearchLogger

    logger, retrying = SearchLogger(search, journal, store, tracker), RetryingTracker(tracker)
    if missing(journal, args.trials):
        cluster.connect(args.cpus)
        slices, at_once = capacity.offered()
        print(f"{at_once} trials side by side on {cluster.describe()}", file=sys.stderr)
        engine = Engine(store, slices)
        loop = Searcher(search, journal, chooser, engine, store, args.trials)
        view = SearchDisplay(search, journal, store, args.trials)
        try:
            with view, engine.watching(view.show), retrying.in_background(logger.catch_up):
                loop.run(at_once)
        except KeyboardInterrupt:
            retrying.try_once(logger.interrupt)
            raise
    text = report(search, journal)
    finished = [(journal.asked[trial.number], trial.value or 0.0) for trial in best(journal)]
    with TemporaryDirectory() as figures:
        draw_search(search.space, finished, Path(figures))
        retrying.retry(lambda: logger.conclude(text, Path(figures)))
    return text
