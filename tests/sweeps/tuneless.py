"""Ray Tune as a search sees it, one trial at a time and in this very process."""

from __future__ import annotations

from itertools import count

from ray.tune.schedulers import TrialScheduler

from vpbsd_sweeps.execution.early_stopping import (
    RUNG,
    SCORE,
    Earlier,
    EarlyStopping,
    make_scheduler,
)
from vpbsd_sweeps.execution.events import StageState
from vpbsd_sweeps.execution.search_trials import CURVE, ENDED, TuneSearcher
from vpbsd_sweeps.execution.worker import execute
from vpbsd_sweeps.tuning.journal import Journal
from vpbsd_sweeps.tuning.searcher import Searcher, rebuilt
from vpbsd_sweeps.tuning.trial import run_trial


class Preempted(Exception):
    """A worker was lost."""


class LocalFollower:
    """Runs stages here; gives up after so many, and loses its worker where `lost` says so."""

    def __init__(self, store, most=10**9, lost=lambda: False):
        self.store, self.most, self.lost = store, most, lost

    def __call__(self, job, on_row):
        if self.most == 0:
            raise KeyboardInterrupt
        self.most -= 1
        rows, seen = [], 0

        def report(first, new, share):
            nonlocal seen
            rows[first:] = new  # as the scheduler takes them
            for row in rows[seen:]:
                seen += 1
                on_row(row)
            if self.lost():
                raise Preempted

        while True:
            try:
                execute(job, self.store, report)
            except Preempted:
                continue
            except ValueError as error:
                return StageState.FAILED, str(error).splitlines()[-1]
            return StageState.STORED, ""


def searched(search, store, trials, follow=None):
    """Brings a search to its end; returns its journal."""
    journal = Journal(store, search.name)
    journal.claim(search.identity)
    asked = Searcher(search, journal, rebuilt(search, journal, []), trials)
    early = EarlyStopping(make_scheduler(search.scheduler, search.rungs), asked.heard())
    tuned = TuneSearcher(asked, early, 1, lambda number: None)
    names = (f"{id(early)}-{n}" for n in count())
    trial = Earlier(next(names))
    while (config := tuned.suggest(trial.trial_id)) != TuneSearcher.FINISHED:
        assert tuned.suggest("another") is None, "one at a time"
        early.on_trial_add(None, trial)
        _run(search, store, config, trial, early, tuned, follow or LocalFollower(store))
        trial = Earlier(next(names))
    return journal


def _run(search, store, config, trial, early, tuned, follow):
    last = {}

    def report(row):
        last.clear()
        last.update(row)
        if early.on_trial_result(None, trial, row) == TrialScheduler.STOP:
            raise SystemExit
        tuned.on_trial_result(trial.trial_id, row)

    def show(rung, score, curve):
        report({RUNG: rung, SCORE: score, CURVE: curve})

    try:
        ended = run_trial(search, config["number"], config["params"], follow, show, store)
        report({ENDED: ended})
    except SystemExit:
        pass
    tuned.on_trial_complete(trial.trial_id, last)
