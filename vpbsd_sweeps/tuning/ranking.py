"""Which trials of a search are the best: by objective, and by objective against cost."""

from __future__ import annotations

from collections.abc import Iterable

from vpbsd_sweeps.tuning.journal import Journal, TrialOutcome


def best(journal: Journal) -> list[TrialOutcome]:
    """Returns the complete trials, the highest objective first."""
    complete = [one for one in journal.outcomes.values() if one.outcome == "complete"]
    return sorted(complete, key=lambda one: (-(one.value or 0.0), one.number))


def pareto_front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Returns the points (cost, score) that no other beats in both, each once, by rising cost.

    >>> pareto_front([(1, 0.5), (2, 0.4), (3, 0.9), (3, 0.8)])
    [(1, 0.5), (3, 0.9)]
    """
    front: list[tuple[float, float]] = []
    for cost, score in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or score > front[-1][1]:
            front.append((cost, score))
    return front
