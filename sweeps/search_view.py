"""What people see of a search: while it runs, and from any other terminal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

from sweeps.candidate import Search
from sweeps.conductor import View
from sweeps.journal import Journal
from sweeps.lock import holder
from sweeps.plan import hours
from sweeps.screen import Screen, at_work, running
from sweeps.search_report import best
from sweeps.store import Store
from sweeps.tally import Hours

STANDING = "standing.json"
NOTED_EVERY = 10.0  # seconds between notes for other terminals


class SearchView(Screen):
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

    def show(self, views: list[View]) -> None:
        """The newest state of all flights; a note of it goes to the store."""
        line, lines = self.line(views), running(views)
        self.draw(line, lines)
        if time.time() - self._noted > NOTED_EVERY:
            self._noted = time.time()
            stages = [str(text) for text in lines]
            self.store.write_json(
                f"{self.search.name}/{STANDING}",
                {"line": line, "stages": stages, "time": self._noted},
            )

    def line(self, views: list[View]) -> str:
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
                new = key not in self._keys and manifest.facts["finished"] > self._started
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


def search_standing(journal: Journal, store: Store) -> Iterator[str]:
    """How a search stands, line by line: who drives it, what is done, what runs, the best."""
    driver = holder(journal.name, store)
    yield f"search {journal.name}: " + (
        f"driven by process {driver['pid']} on {driver['host']}"
        if driver
        else "no driver is running"
    )
    told = store.read_json(f"{journal.name}/{STANDING}")
    if driver and told is not None:
        yield f"{hours(time.time() - told['time'])} ago: {told['line']}"
        yield from told["stages"]
        return
    yield progress(journal)
    yield from leader(journal)
    if journal.pending:
        yield f"{len(journal.pending)} trials were interrupted: the same command goes on"


def _tried(journal: Journal) -> int:
    return sum(told.outcome != "infeasible" for told in list(journal.told.values()))
