"""All that MLflow holds of a study, as plain records: what a report is made of, and nothing else.

A record never names the machine it is read on; the same runs give the same record anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby, product
from statistics import mean
from typing import Any

from mlflow.entities import Run

from vpbsd.errors import BadInput
from vpbsd.pipeline.recipes import REFERENCES
from vpbsd_sweeps.execution.slices import ON_GPUS
from vpbsd_sweeps.tracking.tracker import Tracker

TRIALS, STAGES = "tags.`vpbsd.kind` = 'trial'", "tags.`vpbsd.kind` = 'stage'"


@dataclass(frozen=True)
class StageRun:
    """A unique stage as MLflow has it.

    Attributes:
        tags: Its tags, with the prefix ``vpbsd.`` taken off.
        params: Its settings, flat.
        numbers: Its newest metrics.
    """

    run_id: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    numbers: Mapping[str, float]

    @property
    def family(self) -> str:
        """pre-training, fine-tuning, targets, student or evaluation."""
        return self.tags["family"]

    @property
    def seconds(self) -> float:
        """It took, on its slice."""
        return self.numbers.get("sys/seconds", 0.0)

    @property
    def gpus(self) -> float:
        """Share of a GPU that it held; 0 where it ran on none."""
        on_gpu = self.numbers.get("sys/peak_gpu_memory_gb", 0.0) > 0
        return ON_GPUS[self.family].gpus if on_gpu else 0.0


@dataclass(frozen=True)
class TrialRun:
    """A trial as MLflow has it: its result, its stages (label -> key), groups of its volumes."""

    result: TrialResult
    ended: int
    stages: Mapping[str, str]
    groups: Mapping[str, str]
    numbers: Mapping[str, float]

    @property
    def place(self) -> tuple[str, int, int]:
        """Arm, fold, seed."""
        return self.result.arm, self.result.fold, self.result.seed

    @property
    def name(self) -> str:
        """As the sweep calls it."""
        return "{}-fold{}-seed{}".format(*self.place)


@dataclass(frozen=True)
class Hours:
    """Work in seconds of slices and in hours of whole GPUs.

    Attributes:
        asked: If every trial had trained all its own stages.
        spent: By the unique stages of this study.
        stored: By stages that were stored before the study began, and were not trained for it.
    """

    asked: tuple[float, float]
    spent: tuple[float, float]
    stored: tuple[float, float]


@dataclass(frozen=True)
class StudyRecords:
    """A study.

    Attributes:
        tags: Of the sweep's own run, the prefix ``vpbsd.`` taken off.
        trials: One per arm, fold and seed that has ended, in the order of the arms.
        duplicates: Trials that ended too, and that a newer one of the same place replaces.
        missing: Places asked for that have no ended trial.
        deleted: Names of trials that were deleted in MLflow.
        stages: Key -> unique stage.
    """

    study: str
    experiment: str
    parent: str
    tags: Mapping[str, str]
    trials: tuple[TrialRun, ...]
    duplicates: tuple[TrialRun, ...]
    missing: tuple[tuple[str, int, int], ...]
    deleted: tuple[str, ...]
    stages: Mapping[str, StageRun]
    tracker: Tracker = field(repr=False, compare=False)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What makes the study this study: settings, data, arms, seeds."""
        told: dict[str, Any] = json.loads(self.tags["facts"])
        return told

    @property
    def arms(self) -> list[str]:
        """As asked for, in that order."""
        return list(self.facts["arms"])

    def of_arm(self, arm: str) -> list[TrialRun]:
        """An arm's trials by fold and seed."""
        return [trial for trial in self.trials if trial.result.arm == arm]

    def lineage(self, trial: TrialRun) -> list[StageRun]:
        """A trial's stages that MLflow has, upstream first."""
        return [self.stages[key] for key in trial.stages.values() if key in self.stages]

    def trained(self, trial: TrialRun) -> StageRun | None:
        """The stage whose network a trial evaluates."""
        trainings = [s for s in self.lineage(trial) if s.family not in ("targets", "evaluation")]
        return trainings[-1] if trainings else None

    def of_family(self, family: str) -> list[StageRun]:
        """Unique stages of a kind, by their key."""
        return [
            self.stages[key] for key in sorted(self.stages) if self.stages[key].family == family
        ]

    @cached_property
    def hours(self) -> Hours:
        """What the study would have cost, did cost, and found stored."""
        every = [stage for trial in self.trials for stage in self.lineage(trial)]
        unique = [self.stages[key] for key in sorted(self.stages)]
        ours = [stage for stage in unique if stage.tags.get("reused", "no") == "no"]
        theirs = [stage for stage in unique if stage.tags.get("reused", "no") != "no"]
        return Hours(_work(every), _work(ours), _work(theirs))


def load_records(tracker: Tracker, study: str) -> StudyRecords:
    """Reads a study.

    Raises:
        BadInput: The sweep's own run is not there (any more), or it is a search.
    """
    parent = next(tracker.runs("tags.`vpbsd.kind` = 'sweep'"), None)
    if parent is None and any(tracker.runs("tags.`vpbsd.kind` = 'search'")):
        raise BadInput(
            f"'{study}' is a search: its findings are search.md and figures/slices.png of its "
            "run; report on the ablation that it ends with, which measures its best on the test"
        )
    if parent is None:
        raise BadInput(
            f"study '{study}' has no run of the sweep itself: if it was deleted in MLflow, "
            "`mlflow runs restore` brings it back"
        )
    ended, duplicates = _newest(map(_trial, tracker.runs(TRIALS)))
    tags = _told(parent)
    asked = list(_asked(json.loads(tags["facts"])))
    found = {trial.place: trial for trial in ended}
    order = [place for place in asked if place in found]
    order += sorted(found.keys() - set(asked))
    return StudyRecords(
        study=study,
        experiment=tracker.experiment_id,
        parent=str(parent.info.run_id),
        tags=tags,
        trials=tuple(found[place] for place in order),
        duplicates=tuple(duplicates),
        missing=tuple(place for place in asked if place not in found),
        deleted=tuple(sorted(_trial(r).name for r in tracker.runs(TRIALS, deleted=True))),
        stages={stage.tags["key"]: stage for stage in map(_stage, tracker.runs(STAGES))},
        tracker=tracker,
    )


def _asked(facts: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
    """Places of all trials, by arm; references know no student seed and are run once per fold."""
    folds = range(facts["settings"]["protocol"]["folds"])
    for arm in facts["arms"]:
        seeds = facts["seeds"][:1] if arm in REFERENCES else facts["seeds"]
        yield from product([arm], folds, seeds)


def _newest(trials: Iterator[TrialRun]) -> tuple[list[TrialRun], list[TrialRun]]:
    """Ended trials, one per place, and the others; finished ones first, then by time, then id."""
    ended = [t for t in trials if t.result.status in ("FINISHED", "FAILED")]
    ended.sort(
        key=lambda t: (t.place, t.result.status == "FINISHED", t.ended, t.result.run_id),
        reverse=True,
    )
    kept, replaced = [], []
    for _, same in groupby(ended, lambda t: t.place):
        first, *others = same
        kept.append(first)
        replaced += others
    return kept, replaced


def _trial(run: Run) -> TrialRun:
    tags = _told(run)
    return TrialRun(
        result=trial_result(run),
        ended=int(run.info.end_time or 0),
        stages=json.loads(tags.get("stages", "{}")),
        groups=json.loads(tags.get("groups", "{}")),
        numbers=dict(run.data.metrics),
    )


def _stage(run: Run) -> StageRun:
    return StageRun(
        str(run.info.run_id), _told(run), dict(run.data.params), dict(run.data.metrics)
    )


def _told(run: Run) -> dict[str, str]:
    ours = {k: v for k, v in run.data.tags.items() if k.startswith("vpbsd.")}
    return {k.removeprefix("vpbsd."): v for k, v in ours.items()}


def _work(stages: list[StageRun]) -> tuple[float, float]:
    return (
        sum(stage.seconds for stage in stages),
        sum(stage.seconds * stage.gpus for stage in stages) / 3600,
    )


@dataclass(frozen=True)
class TrialResult:
    """A trial as MLflow has it.

    Attributes:
        values: metric -> volume -> value.
        void: Why it does not count, or "".
        timing: Key of its network's timing, or "".
        note: What a reader must know of it though it counts, or "".
    """

    run_id: str
    arm: str
    fold: int
    seed: int
    status: str
    void: str
    values: dict[str, dict[str, float]]
    timing: str = ""
    note: str = ""

    @property
    def name(self) -> str:
        """Fold and seed, for remarks."""
        return f"fold {self.fold} seed {self.seed}"

    @property
    def counts(self) -> bool:
        """Whether it enters averages."""
        return self.status == "FINISHED" and not self.void

    def score(self, metric: str) -> float:
        """Mean over the test volumes."""
        return mean(self.values[metric].values())


@dataclass(frozen=True)
class Size:
    """What a network costs: parameters, GMAC of a patch, milliseconds per 64^3 voxels, where."""

    parameters: float
    gmac: float
    ms: float
    ms_sd: float
    device: str


Sizes = dict[str, Size]
"""By key of the timing."""


def timings(tracker: Tracker) -> Sizes:
    """What was measured of the networks of a study, if anything was."""
    runs = tracker.runs("tags.`vpbsd.family` = 'timing' and attributes.status = 'FINISHED'")
    return {
        run.data.tags["vpbsd.key"]: Size(
            run.data.metrics["params_deploy"],
            run.data.metrics["gmac_torch"],
            run.data.metrics["ms_per_block"],
            run.data.metrics["ms_sd"],
            f"{run.data.tags['vpbsd.device']}, {run.data.metrics['sys/threads']:.0f} threads",
        )
        for run in runs
    }


def trial_results(tracker: Tracker) -> list[TrialResult]:
    """All trials of a study that have ended, by arm, fold and seed."""
    runs = tracker.runs("tags.`vpbsd.kind` = 'trial'")
    ended = [trial_result(run) for run in runs if run.info.status != "RUNNING"]
    return sorted(ended, key=lambda t: (t.arm, t.fold, t.seed))


def trial_result(run: Run) -> TrialResult:
    """A trial's run as a row."""
    tags = run.data.tags
    return TrialResult(
        run_id=run.info.run_id,
        arm=tags["vpbsd.arm"],
        fold=int(tags["vpbsd.fold"]),
        seed=int(tags["vpbsd.seed"]),
        status=run.info.status,
        void=tags.get("vpbsd.void", ""),
        values=_by_volume(run.data.metrics),
        timing=tags.get("vpbsd.timing", ""),
        note=tags.get("vpbsd.note", ""),
    )


def _by_volume(metrics: dict[str, float]) -> dict[str, dict[str, float]]:
    values: dict[str, dict[str, float]] = {}
    for name, value in metrics.items():
        test, _, rest = name.partition("/")
        metric, _, volume = rest.partition("/vol_")
        if test == "test" and volume:
            values.setdefault(metric, {})[volume] = value
    return values
