"""What people see of a search: while it runs, and from any other terminal."""

from __future__ import annotations

import time
from collections import Counter

from vpbsd_sweeps.execution.events import StageStatus
from vpbsd_sweeps.monitor.accounting import Hours
from vpbsd_sweeps.monitor.terminal import Terminal, at_work, running
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.tuning.journal import Journal
from vpbsd_sweeps.tuning.ranking import best
from vpbsd_sweeps.tuning.search_spec import Search
from vpbsd_sweeps.units import hours

STANDING = "standing.json"
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
        self._before = _tried(journal)
        self._spent, self._saved = Hours(), Hours()
        self._counted: set[int] = set()
        self._keys: set[str] = set()

    def show(self, views: list[StageStatus]) -> None:
        """The newest state of all flights; a note of it goes to the store."""
        line, lines = self.line(views), running(views)
        self.draw(line, lines)
        if time.time() - self._noted > NOTED_EVERY:
            self._noted = time.time()
            stages = [str(text) for text in lines]
            self.store.studies.write_json(
                f"{self.search.name}/{STANDING}",
                {"line": line, "stages": stages, "time": self._noted},
            )

    def line(self, views: list[StageStatus]) -> str:
        """All of it in one line."""
        self._count()
        parts = [
            f"[{hours(self.elapsed)}] {progress(self.journal, self.trials)}",
            *at_work(views),
            *leader(self.journal),
            f"{self._spent} spent on trials that ended, {self._saved} saved by sharing",
            self._left(),
        ]
        return "; ".join(parts)

    def _left(self) -> str:
        tried = _tried(self.journal)
        if tried == self._before:
            return "time left is known when a trial has ended"
        pace = self.elapsed / (tried - self._before)
        return f"about {hours(pace * (self.trials - tried))} left"

    def _count(self) -> None:
        """Hours of trials that ended since the last look: a stage is spent once, then saved."""
        for number, told in list(self.journal.told.items()):
            if number in self._counted or told.outcome == "infeasible":
                continue
            self._counted.add(number)
            runs = list(self.search.runs(self.journal.asked[number]))[: max(1, len(told.scores))]
            for key in {stage.key for run in runs for stage in run.stage.lineage()}:
                manifest = self.store.manifest(key)
                if manifest is None:
                    continue
                new = key not in self._keys and manifest.metadata["finished"] > self._started
                self._keys.add(key)
                (self._spent if new else self._saved).add(manifest, 1)


def progress(journal: Journal, trials: int | None = None) -> str:
    """How many trials have ended, and how."""
    how = Counter(told.outcome for told in list(journal.told.values()))
    ended = ", ".join(f"{n} {outcome}" for outcome, n in sorted(how.items()))
    of = f"{_tried(journal)}/{trials}" if trials else f"{_tried(journal)}"
    return f"{of} trials ended ({ended})" if how else f"{of} trials ended"


def leader(journal: Journal) -> list[str]:
    """The best complete trial so far, if there is one."""
    ranked = best(journal)[:1]
    return [f"best so far: DSC {told.value:.3f}, trial {told.number}" for told in ranked]


def _tried(journal: Journal) -> int:
    return sum(told.outcome != "infeasible" for told in list(journal.told.values()))
