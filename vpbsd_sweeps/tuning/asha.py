"""Asynchronous successive halving on student epochs (Li 2020, ASHA, its stopping variant).

Only trials of one search are compared, only on the first fold, only at the same epoch, and a
trial not before its own ramp is over: losses that have not come in yet would be held against it.
Every schedule keeps its full length, so what a trial shows at a rung is what it would show there
on its way to the full budget.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

RUNGS = (0.1, 0.2, 0.4, 0.8)
"""Of the schedule."""
FACTOR = 2
"""One of so many stays at each rung."""


@dataclass
class SuccessiveHalving:
    """Who goes on.

    Attributes:
        seen: Rung -> trial -> what it scored there.
    """

    seen: dict[float, dict[int, float]] = field(default_factory=dict)
    _one: threading.Lock = field(default_factory=threading.Lock)

    def stops(self, trial: int, share: float, score: float, grace: float) -> bool:
        """Takes note of a score; returns True if the trial is stopped at a rung it has reached.

        It stays while it is among the best ceil(n / 2) of those that came to that rung so far.
        The same score again changes nothing.

        Args:
            trial: Its number.
            share: Of its schedule that is done, in [0, 1].
            score: The higher, the better.
            grace: Share of its schedule in which it is not judged.
        """
        stop = False
        with self._one:
            for rung in RUNGS:
                scores = self.seen.setdefault(rung, {})
                if grace <= rung <= share + 1e-9 and trial not in scores:
                    scores[trial] = score
                    stop |= not _stays(score, list(scores.values()))
        return stop

    def rungs(self, trial: int) -> tuple[tuple[float, float], ...]:
        """Returns (rung, score) of a trial at every rung that it reached."""
        return tuple(
            (rung, scores[trial]) for rung, scores in self.seen.items() if trial in scores
        )

    def remember(self, trial: int, rungs: Iterable[tuple[float, float]]) -> None:
        """Takes note of a trial that ended under an earlier driver."""
        for rung, score in rungs:
            self.seen.setdefault(rung, {})[trial] = score


def _stays(score: float, every: list[float]) -> bool:
    better = sum(other > score for other in every)
    return better < -(-len(every) // FACTOR)
