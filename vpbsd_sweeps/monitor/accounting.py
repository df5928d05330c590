"""What a study has cost so far, what sharing saved, and which arm leads; each result read once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any

from vpbsd.pipeline.crossings import arm_title
from vpbsd.pipeline.recipes import is_reference
from vpbsd_sweeps.execution.slices import ON_GPUS
from vpbsd_sweeps.store.manifest import Manifest
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.store.survey import inspect_all


@dataclass(frozen=True)
class Hours:
    """Work, in hours.

    Attributes:
        slices: Of slices, whatever their size.
        cores: Of single cores.
        gpus: Of whole GPUs.

    >>> print(2 * Hours(1.0, cores=4.0) + Hours(1.0, cores=1.0))
    9 core-hours
    """

    slices: float = 0.0
    cores: float = 0.0
    gpus: float = 0.0

    def __add__(self, other: Hours) -> Hours:
        return Hours(self.slices + other.slices, self.cores + other.cores, self.gpus + other.gpus)

    def __rmul__(self, times: int) -> Hours:
        return Hours(times * self.slices, times * self.cores, times * self.gpus)

    def __str__(self) -> str:
        amount, unit = (self.gpus, "GPU") if self.gpus else (self.cores, "core")
        return f"{amount:.2g} {unit}-hours"


def hours_of(measurements: Mapping[str, Any]) -> Hours:
    """Reads what a stage took from the metadata of its result."""
    took = float(measurements["seconds"]) / 3600
    share = ON_GPUS[measurements["family"]].gpus if measurements.get("peak_gpu_memory_gb") else 0
    return Hours(took, took * float(measurements.get("threads") or 1.0), took * share)


class Tally:
    """Hours and scores of a study, which grow as its stages are stored.

    Args:
        outline: The study's stages and trials, as `study.plan.outline` lists them.
        store: Of its results.

    Attributes:
        stored: Key -> manifest of the stages that are stored.
    """

    def __init__(self, outline: Mapping[str, Any], store: Store) -> None:
        self._stages = {stage["key"]: stage for stage in outline["stages"]}
        self._trials = outline["trials"]  # two of them may end with one stage
        self._ends = {trial["key"] for trial in self._trials}
        self._store = store
        self.stored: dict[str, Manifest] = {}
        self._scores: dict[str, float] = {}
        self._spent, self._saved = Hours(), Hours()

    def take(self, keys: Iterable[str]) -> None:
        """Looks at the stages of these keys that were not stored when it looked last."""
        new = [key for key in keys if key in self._stages and key not in self.stored]
        for key, (_, manifest) in inspect_all(self._store, new).items():
            if manifest is not None:
                self.stored[key] = manifest
                self._count(self._stages[key], hours_of(manifest.metadata))
                if key in self._ends:
                    rows = self._store.read_json(key, "rows.json")
                    self._scores[key] = mean(row["dsc"] for row in rows)

    def _count(self, stage: Mapping[str, Any], took: Hours) -> None:
        """Counts a stage as spent once, unless it was there before, and as saved by all others."""
        trained = 0 if stage["before"] else 1
        self._spent += trained * took
        self._saved += max(stage.get("asked", 1) - trained, 0) * took

    def hours(self) -> str:
        """Describes what this study spent, and what sharing and stored stages saved it."""
        return f"{self._spent} spent, {self._saved} saved by sharing"

    def best(self) -> str:
        """Finds the student with the highest mean test DSC over the folds that all have.

        References never compete; void trials' arms and unproven ones are left out, and once some
        students have all their folds, one that has none: it has failed.

        Returns:
            A line, or "" before there is a fold in which every student has ended.
        """
        left_out = {*self.unproven(), *self._void()}
        scores: dict[str, dict[int, list[float | None]]] = {}
        for trial in self._trials:
            arm = trial["arm"]
            if not is_reference(arm) and arm not in left_out:
                folds = scores.setdefault(arm, {})
                fold = trial.get("fold", len(folds))  # older outlines: each trial its own place
                folds.setdefault(fold, []).append(self._scores.get(trial["key"]))
        scores = _without_failed(scores)
        ended = [
            {fold for fold, found in folds.items() if None not in found}
            for folds in scores.values()
        ]
        common = set.intersection(*ended) if ended else set[int]()
        if not common:
            return ""
        means = {
            arm: mean(mean(s for s in folds[fold] if s is not None) for fold in common)
            for arm, folds in scores.items()
        }
        arm = max(means, key=lambda a: means[a])
        unit = "fold" if all("fold" in trial for trial in self._trials) else "trial"
        over = f"{len(common)} {unit}{'s' * (len(common) > 1)}"
        return f"best so far: {arm_title(arm)}, test DSC {means[arm]:.3f} over {over}"

    @property
    def ended(self) -> int:
        """Number of trials that have a result."""
        return sum(trial["key"] in self._scores for trial in self._trials)

    def unproven(self) -> list[str]:
        """Lists the arms that learn code words which were found to carry nothing, each once.

        None of a study from before there were examinations: its outline names none.
        """
        arms = [t["arm"] for t in self._trials if self._fails(t.get("unproven_by", ()))]
        return list(dict.fromkeys(arms))

    def _void(self) -> set[str]:
        """Collects the arms of which one trial is void."""
        return {t["arm"] for t in self._trials if self._fails(t["voided_by"])}

    def _fails(self, keys: Iterable[str]) -> bool:
        manifests = (self.stored.get(key) for key in keys)
        return any(manifest is not None and manifest.metadata["void"] for manifest in manifests)


def _without_failed(scores: dict[str, dict[int, list[float | None]]]) -> dict[str, Any]:
    """Leaves out students without any score once the others, two at least, have all of theirs."""
    found = {arm: [s for own in folds.values() for s in own] for arm, folds in scores.items()}
    begun = [arm for arm, own in found.items() if any(s is not None for s in own)]
    if len(begun) < 2 or any(None in found[arm] for arm in begun):
        return scores
    return {arm: scores[arm] for arm in begun}
