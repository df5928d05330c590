"""Runs a search: draws configurations, runs them side by side, notes how they ended."""

from __future__ import annotations

import sys
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from vpbsd_sweeps.execution.events import StageFollower
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.store.studies import first_difference
from vpbsd_sweeps.tuning.asha import SuccessiveHalving
from vpbsd_sweeps.tuning.journal import Journal, TrialOutcome
from vpbsd_sweeps.tuning.ranking import best
from vpbsd_sweeps.tuning.sampler import ConfigSampler
from vpbsd_sweeps.tuning.search_spec import Search
from vpbsd_sweeps.tuning.trial import run_trial

DRAWS_PER_TRIAL = 5
"""Points that cannot be trained cost nothing, but a space of nothing else must come to an end."""


def missing(journal: Journal, trials: int) -> bool:
    """Returns True if anything is left to run."""
    return bool(journal.pending) or may_ask(journal, trials, running=0)


def may_ask(journal: Journal, trials: int, running: int) -> bool:
    """Returns True if another one is wanted; those that cannot be trained do not count."""
    tried = sum(ended.outcome != "infeasible" for ended in journal.outcomes.values())
    return tried + running < trials and len(journal.asked) < DRAWS_PER_TRIAL * trials


def rebuilt(search: Search, journal: Journal, warm: list[Journal]) -> ConfigSampler:
    """Makes a sampler that knows what the journal knows, and what finished searches found."""
    sampler = ConfigSampler(search.space, search.sampler, search.seed, search.students_per_teacher)
    for other in warm:
        _warm(sampler, search, other)
    for event, number in journal.order:
        if event == "asked":
            sampler.ask_again(number, journal.asked[number])
        else:
            ended = journal.outcomes[number]
            sampler.tell(number, ended.values(sampler.objectives), ended.curve)
    return sampler


def _warm(sampler: ConfigSampler, search: Search, other: Journal) -> None:
    assert other.identity is not None
    taken = [
        sampler.add_finished(other.asked[ended.number], ended.values(sampler.objectives) or [])
        for ended in best(other)
    ]
    names = ("settings", "data", "arm")
    ours, theirs = ({name: f[name] for name in names} for f in (search.identity, other.identity))
    difference = first_difference(ours, theirs)
    note = f"; its values may lie elsewhere ({difference})" if difference else ""
    print(f"{sum(taken)} of {len(taken)} complete trials of {other.name} fit this space{note}")


@dataclass
class Searcher:
    """Draws configurations and runs them until enough trials have ended.

    Attributes:
        trials: In all, those in the journal included.
    """

    search: Search
    journal: Journal
    sampler: ConfigSampler
    follower: StageFollower
    store: Store
    trials: int
    _running: set[Future[TrialOutcome | None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._waiting = self.journal.pending
        self.halving = None if self.sampler.objectives > 1 else SuccessiveHalving()
        for ended in self.journal.outcomes.values():
            if self.halving:
                self.halving.remember(ended.number, ended.rungs)

    def run(self, at_once: int) -> None:
        """Runs what is missing, `at_once` trials at a time."""
        with ThreadPoolExecutor(at_once) as pool:
            try:
                while self._begin(pool, at_once) or self._running:
                    done, self._running = wait(self._running, 1.0, FIRST_COMPLETED)
                    for future in done:
                        self._end(future.result())
            except BaseException:
                self.follower.stop()  # or leaving the pool would wait for the trials' ends
                raise

    def _begin(self, pool: ThreadPoolExecutor, at_once: int) -> bool:
        """Fills the pool; returns True if anything was begun."""
        begun = False
        while len(self._running) < at_once and (
            self._waiting or may_ask(self.journal, self.trials, len(self._running))
        ):
            number = self._waiting.pop(0) if self._waiting else self._draw()
            params = self.journal.asked[number]
            work = (self.search, number, params, self.follower, self.store, self.halving)
            self._running.add(pool.submit(run_trial, *work))
            begun = True
        return begun

    def _draw(self) -> int:
        number = len(self.journal.asked)
        self.journal.ask(number, self.sampler.ask(number))
        return number

    def _end(self, ended: TrialOutcome | None) -> None:
        assert ended is not None, "only a driver that stops gives trials up, and then it is gone"
        self.journal.tell(ended)
        self.sampler.tell(ended.number, ended.values(self.sampler.objectives), ended.curve)
        value = "" if ended.value is None else f", DSC {ended.value:.3f}"
        leader = best(self.journal)[:1]
        lead = f"; best {leader[0].value:.3f} (trial {leader[0].number})" if leader else ""
        why = f" ({ended.reason})" if ended.reason else ""
        print(
            f"trial {ended.number} {ended.outcome}{why}{value}{lead}", file=sys.stderr, flush=True
        )
