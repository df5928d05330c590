"""Asks and tells through the journal: what Ray Tune runs is what is missing there."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from vpbsd.errors import BadInput
from vpbsd_sweeps.store.studies import first_difference
from vpbsd_sweeps.tuning.journal import Curve, Journal, TrialOutcome
from vpbsd_sweeps.tuning.ranking import best
from vpbsd_sweeps.tuning.sampler import ConfigSampler
from vpbsd_sweeps.tuning.search_spec import Search
from vpbsd_sweeps.tuning.space import Params

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


class Searcher:
    """Draws configurations until enough trials have ended, and notes how each of them did.

    Args:
        search: What is searched.
        journal: Of it; what an earlier driver left unfinished is asked first.
        sampler: Knows what the journal knows.
        trials: In all, those in the journal included.
    """

    def __init__(
        self, search: Search, journal: Journal, sampler: ConfigSampler, trials: int
    ) -> None:
        self.search, self.journal, self.sampler = search, journal, sampler
        self.trials = trials
        self._waiting = journal.pending

    def ask(self, running: int) -> tuple[int, Params] | None:
        """Returns the number and the configuration of the next trial; None: no other is wanted.

        One that cannot be trained is told of at once, and the next is drawn.

        Args:
            running: Trials that were asked for and have not ended.
        """
        while self._waiting or may_ask(self.journal, self.trials, running):
            number = self._waiting.pop(0) if self._waiting else self._draw()
            params = self.journal.asked[number]
            try:
                list(self.search.trials(params))
            except BadInput as error:
                self.tell(TrialOutcome(number, "infeasible", reason=str(error)))
            else:
                return number, params
        return None

    def tell(self, ended: TrialOutcome) -> None:
        """Notes how a trial ended."""
        self.journal.tell(ended)
        self.sampler.tell(ended.number, ended.values(self.sampler.objectives), ended.curve)
        value = "" if ended.value is None else f", DSC {ended.value:.3f}"
        leader = best(self.journal)[:1]
        lead = f"; best {leader[0].value:.3f} (trial {leader[0].number})" if leader else ""
        why = f" ({ended.reason})" if ended.reason else ""
        print(
            f"trial {ended.number} {ended.outcome}{why}{value}{lead}", file=sys.stderr, flush=True
        )

    def tell_stopped(self, number: int, curve: Curve) -> None:
        """Notes that a trial was stopped early, by what its first student showed."""
        reason = f"by {self.search.scheduler}, on the first fold"
        self.tell(
            TrialOutcome(number, "stopped", (), curve, reason=reason, keys=self._keys(number))
        )

    def tell_failed(self, number: int, reason: str) -> None:
        """Notes that a trial failed for a reason that is not in its stages."""
        self.tell(TrialOutcome(number, "failed", reason=reason, keys=self._keys(number)))

    def heard(self) -> Iterator[list[tuple[int, float]]]:
        """Yields (rung, DSC there) of every trial that ended and had come to one."""
        for ended in self.journal.outcomes.values():
            if ended.curve:
                rungs = self.search.rungs_of(self.journal.asked[ended.number])
                yield [(rungs[epoch], dsc) for epoch, dsc in ended.curve if epoch in rungs]

    def _draw(self) -> int:
        number = len(self.journal.asked)
        self.journal.ask(number, self.sampler.ask(number))
        return number

    def _keys(self, number: int) -> dict[str, str]:
        first = next(self.search.trials(self.journal.asked[number]))
        return {stage.label: stage.key for stage in first.stage.lineage()}
