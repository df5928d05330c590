"""Which trials of a search are the best: by objective, and by objective against cost."""

from __future__ import annotations

from vpbsd_sweeps.tuning.journal import Journal, TrialOutcome


def best(journal: Journal) -> list[TrialOutcome]:
    """Complete trials, the highest objective first."""
    complete = [told for told in journal.told.values() if told.outcome == "complete"]
    return sorted(complete, key=lambda told: (-(told.value or 0.0), told.number))


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
