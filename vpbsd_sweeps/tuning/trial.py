"""A search, and what one configuration of it goes through.

In each fold one training group is held out of all stages, and its DSC is the objective; no part
of a fold's test is in any stage of a search. A configuration is trained on the first fold under
successive halving; what survives runs the other folds and then the other seeds at full budget.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from statistics import mean
from typing import Any, NamedTuple

from vpbsd.errors import BadInput
from vpbsd.pipeline.stages import Stage
from vpbsd.training.validation import DSC
from vpbsd_sweeps.execution.events import StageFollower, StageState
from vpbsd_sweeps.execution.jobs import job_of
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.study import Trial
from vpbsd_sweeps.study.void import voided_by
from vpbsd_sweeps.tuning.asha import SuccessiveHalving
from vpbsd_sweeps.tuning.journal import Outcome, TrialOutcome
from vpbsd_sweeps.tuning.search_spec import Schedule, Search
from vpbsd_sweeps.tuning.space import Params


class Ended(NamedTuple):
    """Why a configuration goes no further."""

    outcome: Outcome
    reason: str


@dataclass
class TrialRunner:
    """One configuration on its way.

    Attributes:
        number: Of the configuration within its search.
        trials: It on each fold and with each seed; only the first is judged on its way.
        schedule: Of the first trial's student.
        follower: Waits for stages until they are stored.
        store: Where results are read.
        halving: Who goes on, or None where nothing is stopped early.
    """

    number: int
    trials: list[Trial]
    schedule: Schedule
    follower: StageFollower
    store: Store
    halving: SuccessiveHalving | None

    def __post_init__(self) -> None:
        self.curve: dict[int, float] = {}
        self.scores: list[float] = []
        self.cost: float | None = None

    def run(self) -> TrialOutcome | None:
        """Runs all trials, or as many as it takes to stop; None: the driver gave up."""
        for place, trial in enumerate(self.trials):
            ended = self._run_stages(trial, judged=place == 0 and self.halving is not None)
            if self.follower.stopped and ended is not None and ended.outcome == "stopped":
                return None
            if ended is not None:
                return self._outcome(ended.outcome, f"fold {trial.fold}: {ended.reason}")
            self._score(trial.stage)
        return self._outcome("complete", "")

    def _run_stages(self, trial: Trial, *, judged: bool) -> Ended | None:
        """Follows every stage of a trial; says how it ended early, if it did."""
        pending, place = list(trial.stage.lineage()), 0
        student = trial.stage.upstream["network"]
        voiding = {stage.key for stage in voided_by(trial.stage)}
        while place < len(pending):
            stage = pending[place]
            watch = judged and stage is student
            state, why = self._follow(stage, watch=watch)
            if state is StageState.LEFT or (
                state is StageState.STORED and watch and self._judge(self._rows(stage))
            ):
                return Ended("stopped", "by successive halving")
            if state is StageState.FAILED:
                return Ended("failed", f"{stage.label}: {why}")
            stored = state is StageState.STORED
            manifest = self.store.manifest(stage.key) if stored else None
            if stage.key in voiding and manifest is not None and manifest.metadata["void"]:
                return Ended("void", f"{stage.label}: {manifest.metadata['void']}")
            place = place + 1 if stored else 0  # an input vanished: begin anew upstream
        return None

    def _follow(self, stage: Stage, *, watch: bool) -> tuple[StageState, str]:
        def on_row(row: dict[str, Any]) -> bool:
            return watch and self._judge([row])

        return self.follower.follow(job_of(stage), f"search-{self.number}", on_row)

    def _judge(self, rows: list[dict[str, Any]]) -> bool:
        """Takes note of validations; returns True if one of them stops the trial."""
        assert self.halving is not None
        epochs, stop = self.schedule.epochs, False
        for row in rows:
            if DSC in row:
                epoch, score = int(row["epoch"]), float(row[DSC])
                self.curve[epoch] = score
                grace = self.schedule.grace / epochs
                stop |= self.halving.stops(self.number, epoch / epochs, score, grace)
        return stop

    def _rows(self, stage: Stage) -> list[dict[str, Any]]:
        """Reads the rows of a stored stage: of one that was there already none are followed."""
        rows: list[dict[str, Any]] = json.loads(
            (self.store.open(stage.key) / "rows.json").read_text()
        )
        return rows

    def _score(self, evaluation: Stage) -> None:
        summary = self.store.open(evaluation.key) / "summary.json"
        numbers = json.loads(summary.read_text())["numbers"]
        self.scores.append(mean(float(row["dsc"]) for row in self._rows(evaluation)))
        self.cost = numbers.get("gmac_torch")

    def _outcome(self, outcome: Outcome, reason: str) -> TrialOutcome:
        keys = {stage.label: stage.key for stage in self.trials[0].stage.lineage()}
        curve = tuple(sorted(self.curve.items()))
        rungs = self.halving.rungs(self.number) if self.halving else ()
        scores = tuple(self.scores)
        return TrialOutcome(self.number, outcome, scores, curve, rungs, self.cost, reason, keys)


def run_trial(
    search: Search,
    number: int,
    params: Params,
    follower: StageFollower,
    store: Store,
    halving: SuccessiveHalving | None,
) -> TrialOutcome | None:
    """Runs one configuration to its end; one that cannot be trained ends at once."""
    try:
        trials = list(search.trials(params))
    except BadInput as error:
        return TrialOutcome(number, "infeasible", reason=str(error))
    schedule = search.schedule(trials[0])
    return TrialRunner(number, trials, schedule, follower, store, halving).run()
