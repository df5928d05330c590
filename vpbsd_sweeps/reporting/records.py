"""All that MLflow holds of a study, as plain records: what a report is made of, and nothing else.

A record never names the machine it is read on; the same runs give the same record anywhere.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby, product
from statistics import mean
from typing import Any

from vpbsd.errors import BadInput
from vpbsd.pipeline.arms import EXTERNAL
from vpbsd.pipeline.recipes import is_reference
from vpbsd_sweeps.messages import last_line
from vpbsd_sweeps.monitor.accounting import Hours, hours_of
from vpbsd_sweeps.reporting.columns import PRIMARY
from vpbsd_sweeps.study.identity import protocol_of
from vpbsd_sweeps.tracking import tags as tag
from vpbsd_sweeps.tracking.run_record import RunRecord
from vpbsd_sweeps.tracking.tracker import Tracker
from vpbsd_sweeps.tracking.volume_names import values_by_name


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
        """pre-training, fine-tuning, targets, student, evaluation, timing or examination."""
        return self.tags["family"]

    @property
    def reused(self) -> bool:
        """True if it was stored before the study began."""
        return self.tags.get("reused", "no") != "no"

    @property
    def hours(self) -> Hours:
        """Work that it took, on its slice."""
        measured = {k.removeprefix("sys/"): v for k, v in self.numbers.items()}
        return hours_of({"seconds": 0.0, **measured, "family": self.family})


@dataclass(frozen=True)
class TrialResult:
    """What came out of a trial.

    Attributes:
        status: FINISHED or FAILED, as MLflow calls it.
        void: Why it does not count, or "".
        values: Metric -> test volume -> value.
        timing: Key of the stage that timed its network, or "".
        note: What a reader must know of it though it counts, or "".
        unproven: Why it is never the best though it counts, or "": its code words carry nothing.
        examination: Key of the stage that examined them, or "".
        stages: Label -> key, upstream first.
        groups: Test volume -> group.
        ended: Milliseconds since 1970.
        numbers: Its newest metrics.
    """

    run_id: str
    arm: str
    fold: int
    seed: int
    status: str
    void: str
    values: Mapping[str, Mapping[str, float]]
    timing: str = ""
    note: str = ""
    unproven: str = ""
    examination: str = ""
    stages: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    ended: int = 0
    numbers: Mapping[str, float] = field(default_factory=dict)

    @property
    def place(self) -> tuple[str, int, int]:
        """Arm, fold, seed."""
        return self.arm, self.fold, self.seed

    @property
    def name(self) -> str:
        """Its name in the sweep."""
        return "{}-fold{}-seed{}".format(*self.place)

    @property
    def counts(self) -> bool:
        """True where it enters averages."""
        return self.status == "FINISHED" and not self.void

    def score(self, metric: str) -> float:
        """Averages a metric over the test volumes."""
        return mean(self.values[metric].values())


@dataclass(frozen=True)
class StudyRecords:
    """A study.

    Attributes:
        parent: Id of the sweep's own run.
        tags: Of that run, the prefix ``vpbsd.`` taken off.
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
    trials: tuple[TrialResult, ...]
    duplicates: tuple[TrialResult, ...]
    missing: tuple[tuple[str, int, int], ...]
    deleted: tuple[str, ...]
    stages: Mapping[str, StageRun]
    tracker: Tracker = field(repr=False, compare=False)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Settings, data, arms and seeds: with others it would be another study."""
        return _identity(self.tags)

    @property
    def arms(self) -> list[str]:
        """Its arms in the order they were asked for."""
        return list(self.identity["arms"])

    @property
    def primary(self) -> str:
        """The metric that decides: what the study declared, or DSC."""
        return str(self.identity.get("primary", PRIMARY))

    def may_have_seen(self, arm: str) -> bool:
        """Tells whether masks of another tool may come from one trained on the test volumes."""
        known = self.identity.get("external", {}).get(arm.removeprefix(EXTERNAL))
        return arm.startswith(EXTERNAL) and not (known and known["unseen"])

    def of_arm(self, arm: str) -> list[TrialResult]:
        """Returns an arm's trials by fold and seed."""
        return [trial for trial in self.trials if trial.arm == arm]

    def read_picture(self, run_id: str, path: str) -> bytes | None:
        """Downloads a picture of a run; None, and a line on standard error, where it cannot."""
        try:
            return self.tracker.read_file(run_id, path)
        except Exception as error:  # stores of artefacts raise what they like
            print(f"{path} of run {run_id} cannot be read: {last_line(error)}", file=sys.stderr)
            return None

    def lineage(self, trial: TrialResult) -> list[StageRun]:
        """Returns a trial's stages that MLflow has, upstream first."""
        return [self.stages[key] for key in trial.stages.values() if key in self.stages]

    def trained(self, trial: TrialResult) -> StageRun | None:
        """Returns the stage whose network a trial evaluates."""
        trainings = [s for s in self.lineage(trial) if s.family not in ("targets", "evaluation")]
        return trainings[-1] if trainings else None

    def timing(self, trials: Iterable[TrialResult]) -> StageRun | None:
        """Returns the stage that timed the network of some trials, if one has."""
        known = (self.stages.get(t.timing) for t in trials)
        return next((s for s in known if s is not None and "ms_per_block" in s.numbers), None)

    def of_family(self, family: str) -> list[StageRun]:
        """Returns the unique stages of a family, by their key."""
        return [stage for stage in self._unique if stage.family == family]

    @property
    def work_requested(self) -> Hours:
        """Work if every trial had trained all its own stages."""
        return sum((s.hours for t in self.trials for s in self.lineage(t)), Hours())

    @property
    def work_spent(self) -> Hours:
        """Work on the unique stages that were trained for this study."""
        return sum((s.hours for s in self._unique if not s.reused), Hours())

    @property
    def work_stored(self) -> Hours:
        """Work on stages that were stored before the study began."""
        return sum((s.hours for s in self._unique if s.reused), Hours())

    @property
    def _unique(self) -> list[StageRun]:
        return [self.stages[key] for key in sorted(self.stages)]


def load_records(tracker: Tracker, study: str) -> StudyRecords:
    """Reads a study from MLflow.

    Raises:
        BadInput: The sweep's own run is not there (any more), or it is a search.
    """
    parent = next(tracker.runs(tag.of_kind(tag.SWEEP_KIND)), None)
    if parent is None and any(tracker.runs(tag.of_kind(tag.SEARCH_KIND))):
        raise BadInput(
            f"'{study}' is a search: its findings are search.md and figures/slices.png of its "
            "run; report on the ablation that it ends with, which measures its best on the test"
        )
    if parent is None:
        raise BadInput(
            f"study '{study}' has no run of the sweep itself: if it was deleted in MLflow, "
            "`mlflow runs restore` brings it back"
        )
    trials, stages = tag.of_kind(tag.TRIAL_KIND), tag.of_kind(tag.STAGE_KIND)
    ended, duplicates = _newest(map(trial_result, tracker.runs(trials)))
    tags = tag.without_prefix(parent.tags)
    requested = list(_requested(_identity(tags)))
    found = {trial.place: trial for trial in ended}
    order = [place for place in requested if place in found]
    order += sorted(found.keys() - set(requested))
    return StudyRecords(
        study=study,
        experiment=tracker.experiment_id,
        parent=parent.run_id,
        tags=tags,
        trials=tuple(found[place] for place in order),
        duplicates=tuple(duplicates),
        missing=tuple(place for place in requested if place not in found),
        deleted=tuple(sorted(trial_result(r).name for r in tracker.runs(trials, deleted=True))),
        stages={stage.tags["key"]: stage for stage in map(_stage, tracker.runs(stages))},
        tracker=tracker,
    )


def trial_result(run: RunRecord) -> TrialResult:
    """Reads what came out of a trial from its run."""
    tags = run.tags
    groups = json.loads(tags.get(tag.GROUPS, "{}"))
    return TrialResult(
        run_id=run.run_id,
        arm=tags[tag.ARM],
        fold=int(tags[tag.FOLD]),
        seed=int(tags[tag.SEED]),
        status=run.status,
        void=tags.get(tag.VOID, ""),
        values=values_by_name(run.metrics, groups),
        timing=tags.get(tag.TIMING, ""),
        note=tags.get(tag.NOTE, ""),
        unproven=tags.get(tag.UNPROVEN, ""),
        examination=tags.get(tag.EXAMINATION, ""),
        stages=json.loads(tags.get(tag.STAGES, "{}")),
        groups=groups,
        ended=run.ended,
        numbers=run.metrics,
    )


def _identity(tags: Mapping[str, str]) -> dict[str, Any]:
    identity: dict[str, Any] = json.loads(tags[tag.STUDY_IDENTITY.removeprefix(tag.PREFIX)])
    return identity


def _requested(identity: Mapping[str, Any]) -> Iterator[tuple[str, int, int]]:
    """Yields the places of all trials, by arm; references know no student seed: once per fold."""
    folds = range(protocol_of(identity).count)
    for arm in identity["arms"]:
        seeds = identity["seeds"][:1] if is_reference(arm) else identity["seeds"]
        yield from product([arm], folds, seeds)


def _newest(trials: Iterable[TrialResult]) -> tuple[list[TrialResult], list[TrialResult]]:
    """Splits ended trials: one per place, and the others; finished first, then by time and id."""
    ended = [t for t in trials if t.status in ("FINISHED", "FAILED")]
    ended.sort(key=lambda t: (t.place, t.status == "FINISHED", t.ended, t.run_id), reverse=True)
    kept, replaced = [], []
    for _, same in groupby(ended, lambda t: t.place):
        first, *others = same
        kept.append(first)
        replaced += others
    return kept, replaced


def _stage(run: RunRecord) -> StageRun:
    return StageRun(run.run_id, tag.without_prefix(run.tags), run.params, run.metrics)
