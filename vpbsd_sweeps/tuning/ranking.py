"""Which trials of a search are the best: by objective, and by objective against cost."""

from __future__ import annotations

from vpbsd_sweeps.tuning.journal import Journal, TrialOutcome


def best(journal: Journal) -> list[TrialOutcome]:
    """Returns the complete trials, the highest objective first."""
    complete = [one for one in journal.told.values() if one.outcome == "complete"]
    return sorted(complete, key=lambda one: (-(one.value or 0.0), one.number))


def pareto(ranked: list[TrialOutcome]) -> set[int]:
    """Numbers of the trials that no other beats in DSC without costing more."""
    return {
        one.number
        for one in ranked
        if not any(
            (other.value or 0) >= (one.value or 0)
            and (other.cost or 0) <= (one.cost or 0)
            and (other.value, other.cost) != (one.value, one.cost)
            for other in ranked
        )
    }
