"""What a study has cost so far, what sharing saved, and which arm leads; each result read once."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from statistics import mean
from typing import Any

from vpbsd.pipeline.arms import TITLES
from vpbsd_sweeps.execution.slices import ON_GPUS
from vpbsd_sweeps.store.results import Manifest, Store


class Tally:
    """Grows as stages are stored.

    Args:
        told: The study's outline: its stages and trials.
        store: Of its results.
    """

    def __init__(self, told: dict[str, Any], store: Store) -> None:
        self._stages = {stage["key"]: stage for stage in told["stages"]}
        self._trials = told["trials"]  # two of them may end with one stage
        self._ends = {trial["key"] for trial in self._trials}
        self._store = store
        self.stored: dict[str, Manifest] = {}
        self._scores: dict[str, float] = {}
        self._spent, self._saved = Hours(), Hours()

    def take(self, keys: Iterable[str]) -> None:
        """Looks at the stages of these keys that were not stored when it looked last."""
        for key in keys:
            manifest = None if key in self.stored else self._store.manifest(key)
            if manifest is not None and key in self._stages:
                self.stored[key] = manifest
                stage = self._stages[key]
                trained = 0 if stage["before"] else 1
                self._spent.add(manifest, trained)
                self._saved.add(manifest, max(stage.get("asked", 1) - trained, 0))
                if key in self._ends:
                    rows = json.loads((self._store.open(key) / "rows.json").read_text())
                    self._scores[key] = mean(row["dsc"] for row in rows)

    def hours(self) -> str:
        """Spent by this study, and not spent because stages are shared or were there before."""
        return f"{self._spent} spent, {self._saved} saved by sharing"

    def best(self) -> str:
        """The arm with the highest mean test DSC over its trials so far, void ones left out."""
        scores: dict[str, list[float]] = defaultdict(list)
        for trial in self._trials:
            if trial["key"] in self._scores and not self._is_void(trial):
                scores[trial["arm"]].append(self._scores[trial["key"]])
        if not scores:
            return ""
        arm = max(scores, key=lambda a: mean(scores[a]))
        return (
            f"best so far: {TITLES.get(arm, arm)}, test DSC {mean(scores[arm]):.3f} over "
            f"{len(scores[arm])} of its trials"
        )

    @property
    def ended(self) -> int:
        """Trials that have a result."""
        return sum(trial["key"] in self._scores for trial in self._trials)

    def _is_void(self, trial: dict[str, Any]) -> bool:
        grave = (self.stored.get(key) for key in trial["voided_by"])
        return any(manifest is not None and manifest.metadata["void"] for manifest in grave)


class Hours:
    """Hours of whole GPUs, or of cores where none was used."""

    def __init__(self) -> None:
        """None yet."""
        self._gpus = self._cores = 0.0

    def add(self, manifest: Manifest, times: int) -> None:
        """Takes in what a stage took, so many times."""
        facts = manifest.metadata
        hours = times * float(facts["seconds"]) / 3600
        self._cores += hours * float(facts.get("threads") or 1.0)
        if facts.get("peak_gpu_memory_gb"):
            self._gpus += hours * ON_GPUS[facts["family"]].gpus

    def __str__(self) -> str:
        hours, unit = (self._gpus, "GPU") if self._gpus else (self._cores, "core")
        return f"{hours:.2g} {unit}-hours"
