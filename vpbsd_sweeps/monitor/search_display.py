"""What people see of a search while it runs."""

from __future__ import annotations

import time

from vpbsd_sweeps.execution.events import StageStatus
from vpbsd_sweeps.monitor.accounting import Hours, hours_of
from vpbsd_sweeps.monitor.status import STANDING, leader, progress, tried
from vpbsd_sweeps.monitor.terminal import Terminal, at_work, running
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.tuning.journal import Journal
from vpbsd_sweeps.tuning.search_spec import Search
from vpbsd_sweeps.units import hours

NOTED_EVERY = 10.0  # seconds between notes for other terminals


class SearchDisplay(Terminal):
    """A search on a screen; used as a with-statement.

    Args:
        search: The search.
        journal: What has happened, and will.
        store: Of its results.
        trials: In all.
    """

    def __init__(self, search: Search, journal: Journal, store: Store, trials: int) -> None:
        super().__init__()
        self.search, self.journal, self.store, self.trials = search, journal, store, trials
        self._started, self._noted = time.time(), 0.0
        self._before = tried(journal)
        self._spent, self._saved = Hours(), Hours()
        self._counted: set[int] = set()
        self._keys: set[str] = set()

    def show(self, stages: list[StageStatus]) -> None:
        """Shows the newest status of all stages; now and then the store gets a note of it."""
        line, lines = self.line(stages), running(stages)
        self.draw(line, lines)
        if time.time() - self._noted > NOTED_EVERY:
            self._noted = time.time()
            self.store.studies.write_json(
                f"{self.search.name}/{STANDING}",
                {"line": line, "stages": [str(text) for text in lines], "time": self._noted},
            )

    def line(self, stages: list[StageStatus]) -> str:
        """Renders all of it in one line."""
        self._count()
        parts = [
            f"[{hours(self.elapsed)}] {progress(self.journal, self.trials)}",
            *at_work(stages),
            *leader(self.journal),
            f"{self._spent} spent on trials that ended, {self._saved} saved by sharing",
            self._left(),
        ]
        return "; ".join(parts)

    def _left(self) -> str:
        ended = tried(self.journal)
        if ended == self._before:
            return "time left is known when a trial has ended"
        pace = self.elapsed / (ended - self._before)
        return f"about {hours(pace * (self.trials - ended))} left"

    def _count(self) -> None:
        """Adds the hours of trials that ended since the last look."""
        for number, outcome in list(self.journal.outcomes.items()):
            if number in self._counted or outcome.outcome == "infeasible":
                continue
            self._counted.add(number)
            trials = list(self.search.trials(self.journal.asked[number]))
            ran = trials[: len(outcome.scores) or 1]
            for key in {stage.key for trial in ran for stage in trial.stage.lineage()}:
                self._add(key)

    def _add(self, key: str) -> None:
        """Counts a stage as spent if it was trained since the search began, then as saved."""
        manifest = self.store.manifest(key)
        if manifest is None:
            return
        new = key not in self._keys and manifest.metadata["finished"] > self._started
        self._keys.add(key)
        if new:
            self._spent += hours_of(manifest.metadata)
        else:
            self._saved += hours_of(manifest.metadata)
