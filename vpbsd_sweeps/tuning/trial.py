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
from vpbsd_sweeps.study.void import voided_by
from vpbsd_sweeps.tuning.asha import SuccessiveHalving
from vpbsd_sweeps.tuning.journal import Outcome, TrialOutcome
from vpbsd_sweeps.tuning.search_spec import Run, Search
from vpbsd_sweeps.tuning.space import Params


class Ended(NamedTuple):
    """Why a configuration goes no further."""

    outcome: Outcome
    reason: str


@dataclass
class TrialRunner:
    """One configuration on its way.

    Attributes:
        number: Of the trial.
        runs: Its folds and seeds.
        engine: Brings stages to the store.
        store: Where they are read.
        halving: Who goes on, or None where nothing is stopped early.
    """

    number: int
    runs: list[Run]
    engine: StageFollower
    store: Store
    halving: SuccessiveHalving | None

    def __post_init__(self) -> None:
        self.curve: dict[int, float] = {}
        self.scores: list[float] = []
        self.cost: float | None = None

    def go(self) -> TrialOutcome | None:
        """To its end; None: the driver gave up."""
        for place, run in enumerate(self.runs):
            ended = self._bring_all(run, judged=place == 0 and self.halving is not None)
            if self.engine.stopped and ended is not None and ended.outcome == "stopped":
                return None
            if ended is not None:
                return self._told(ended.outcome, f"fold {run.fold}: {ended.reason}")
            self._score(run)
        return self._told("complete", "")

    def _bring_all(self, run: Run, *, judged: bool) -> Ended | None:
        """Every stage of a run; how it ended early, if it did."""
        pending, place = list(run.stage.lineage()), 0
        grave = {stage.key for stage in voided_by(run.stage)}
        while place < len(pending):
            stage = pending[place]
            watch = judged and stage is run.student
            state, why = self._bring(run, stage, watch=watch)
            if state == "left" or (
                state == "stored" and watch and self._judge(run, self._rows(stage))
            ):
                return Ended("stopped", "by successive halving")
            if state == "failed":
                return Ended("failed", f"{stage.label}: {why}")
            manifest = self.store.manifest(stage.key) if state == "stored" else None
            if stage.key in grave and manifest is not None and manifest.metadata["void"]:
                return Ended("void", f"{stage.label}: {manifest.metadata['void']}")
            place = place + 1 if state == "stored" else 0  # again: an input vanished, start over
        return None

    def _bring(self, run: Run, stage: Stage, *, watch: bool) -> tuple[StageState, str]:
        def on_row(row: dict[str, Any]) -> bool:
            return watch and self._judge(run, [row])

        return self.engine.follow(job_of(stage), f"search-{self.number}", on_row)

    def _judge(self, run: Run, rows: list[dict[str, Any]]) -> bool:
        """Takes note of glances; whether one of them stops the trial."""
        assert self.halving is not None
        stop, free = False, run.grace / run.epochs
        for row in rows:
            if DSC in row:
                epoch, score = int(row["epoch"]), float(row[DSC])
                self.curve[epoch] = score
                stop |= self.halving.stops(self.number, epoch / run.epochs, score, free)
        return stop

    def _rows(self, stage: Stage) -> list[dict[str, Any]]:
        """Of a stage that was stored already there is no news: its rows are read."""
        rows: list[dict[str, Any]] = json.loads(
            (self.store.open(stage.key) / "rows.json").read_text()
        )
        return rows

    def _score(self, run: Run) -> None:
        summary = self.store.open(run.stage.key) / "summary.json"
        numbers = json.loads(summary.read_text())["numbers"]
        self.scores.append(mean(float(row["dsc"]) for row in self._rows(run.stage)))
        self.cost = numbers.get("gmac_torch")

    def _told(self, outcome: Outcome, reason: str) -> TrialOutcome:
        keys = {stage.label: stage.key for stage in self.runs[0].stage.lineage()}
        curve = tuple(sorted(self.curve.items()))
        rungs = self.halving.rungs(self.number) if self.halving else ()
        scores = tuple(self.scores)
        return TrialOutcome(self.number, outcome, scores, curve, rungs, self.cost, reason, keys)


def run_trial(
    search: Search,
    number: int,
    params: Params,
    engine: StageFollower,
    store: Store,
    halving: SuccessiveHalving | None,
) -> TrialOutcome | None:
    """Brings one configuration to its end; one that cannot be trained ends at once."""
    try:
        runs = list(search.runs(params))
    except BadInput as error:
        return TrialOutcome(number, "infeasible", reason=str(error))
    return TrialRunner(number, runs, engine, store, halving).go()
