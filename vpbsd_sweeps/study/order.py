"""In which order the trials of a study begin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from vpbsd_sweeps.study.study import Trial


def spread(trials: Iterable[Trial]) -> list[Trial]:
    """Orders trials so that those alive at a time wait for different teachers, not all for one.

    What needs no teacher comes first: it fills slices while the first teachers train.
    """
    seen = Counter[str]()

    def place(trial: Trial) -> int:
        stages = trial.stage.lineage()
        teacher = next((s.key for s in stages if s.family == "fine-tuning"), "")
        seen[teacher] += 1
        return seen[teacher] if teacher else 0

    return sorted(trials, key=place)
