"""What one configuration of a search goes through, in its coordinator.

In each fold one training group is held out of all stages, and its DSC is the objective; no part
of a fold's test is in any stage of a search. The student of the first fold is validated while it
is trained, and may be stopped by that; what survives runs the other folds and then the other
seeds at full budget.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from statistics import mean
from typing import Any, NamedTuple

from vpbsd.pipeline.stages import Stage
from vpbsd.training.validation_epochs import DSC
from vpbsd_sweeps.execution.events import Follow, StageState
from vpbsd_sweeps.execution.jobs import job_of
from vpbsd_sweeps.patience import insisting
from vpbsd_sweeps.store.results import Absent, Damaged, Store
from vpbsd_sweeps.study.study import Trial
from vpbsd_sweeps.study.void import voided_by
from vpbsd_sweeps.tuning.journal import Curve, Outcome, TrialOutcome
from vpbsd_sweeps.tuning.search_spec import Search
from vpbsd_sweeps.tuning.space import Params

Show = Callable[[int, float, Curve], None]
"""(rung, DSC there, the curve so far); raises SystemExit to stop."""


class Ended(NamedTuple):
    """Why a configuration goes no further."""

    outcome: Outcome
    reason: str


class TrialRunner:
    """One configuration on its way.

    Args:
        number: Of the configuration within its search.
        rungs: Epoch of the first student -> rung at which it is compared with others.
        follow: Waits for stages until they are stored.
        show: Is told of each rung once.
        store: Where results are read.
    """

    def __init__(
        self, number: int, rungs: dict[int, int], follow: Follow, show: Show, store: Store
    ) -> None:
        self.number, self.rungs, self.store = number, rungs, store
        self.follow, self.show = follow, show
        self.curve: dict[int, float] = {}
        self.scores: list[float] = []
        self.cost: float | None = None

    def run(self, trials: list[Trial]) -> TrialOutcome:
        """Runs a configuration on each fold and with each seed; only the first is watched."""
        for place, trial in enumerate(trials):
            ended = self._run_stages(trial, watched=place == 0)
            if ended is not None:
                reason = f"fold {trial.fold}: {ended.reason}"
                return self._outcome(trials, ended.outcome, reason)
        return self._outcome(trials, "complete", "")

    def _run_stages(self, trial: Trial, *, watched: bool) -> Ended | None:
        """Brings a trial to its score; says how it ended early, if it did."""
        while True:
            try:
                ended = self._follow_stages(trial, watched=watched)
                if ended is None:
                    self._score(trial.stage)
            except (Absent, Damaged):  # was stored a moment ago, and is made again
                continue
            return ended

    def _follow_stages(self, trial: Trial, *, watched: bool) -> Ended | None:
        pending, place = list(trial.stage.lineage()), 0
        voiding = {stage.key for stage in voided_by(trial.stage)}
        while place < len(pending):
            stage = pending[place]
            watch = watched and stage is trial.stage.upstream["network"]
            state, why = self.follow(job_of(stage), self._hear if watch else _ignore)
            if state is StageState.FAILED:
                return Ended("failed", f"{stage.label}: {why}")
            if state is not StageState.STORED:
                place = 0  # an input vanished: begin anew upstream
                continue
            if watch:  # of one that was there already none are followed
                for row in self.store.read_json(stage.key, "rows.json"):
                    self._hear(row)
            void = self._void(stage) if stage.key in voiding else None
            if void:
                return Ended("void", f"{stage.label}: {void}")
            place += 1
        return None

    def _hear(self, row: dict[str, Any]) -> None:
        """Takes a validation, unless that epoch was heard before: a lost worker repeats some."""
        if DSC in row and int(row["epoch"]) not in self.curve:
            epoch, score = int(row["epoch"]), float(row[DSC])
            self.curve[epoch] = score
            if epoch in self.rungs:
                self.show(self.rungs[epoch], score, tuple(sorted(self.curve.items())))

    def _void(self, stage: Stage) -> str | None:
        manifest = self.store.manifest(stage.key)
        if manifest is None:
            raise Absent(stage.key)
        why = manifest.metadata["void"]
        return None if why is None else str(why)

    def _score(self, evaluation: Stage) -> None:
        files = self.store.read(evaluation.key, "summary.json", "rows.json")
        self.scores.append(mean(float(row["dsc"]) for row in json.loads(files["rows.json"])))
        self.cost = json.loads(files["summary.json"])["numbers"].get("gmac_torch")

    def _outcome(self, trials: list[Trial], outcome: Outcome, reason: str) -> TrialOutcome:
        keys = {stage.label: stage.key for stage in trials[0].stage.lineage()}
        curve = tuple(sorted(self.curve.items()))
        scores = tuple(self.scores)
        return TrialOutcome(self.number, outcome, scores, curve, self.cost, reason, keys)


def run_trial(
    search: Search, number: int, params: Params, follow: Follow, show: Show, store: Store
) -> TrialOutcome:
    """Runs one configuration, which can be trained, to its end."""
    runner = TrialRunner(number, search.rungs_of(params), follow, show, store)
    with insisting():  # a store that is away for minutes ends no trial
        return runner.run(list(search.trials(params)))


def _ignore(row: dict[str, Any]) -> None:
    """Takes a row that nothing goes by."""
