"""A search, and what one configuration of it goes through.

In each fold one training group is held out of all stages, and its DSC is the objective; no part
of a fold's test is in any stage of a search. A configuration is trained on the first fold under
successive halving; what survives runs the other folds and then the other seeds at full budget.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import mean
from typing import Any, NamedTuple, Protocol

from sweeps.halving import Halving
from sweeps.journal import Outcome, Told
from sweeps.space import Params, Space
from sweeps.store import Store
from sweeps.study import data_fingerprint
from sweeps.tickets import Ticket, ticket
from sweeps.void import voided_by
from vpbsd.config import override
from vpbsd.data.folds import Fold, held_out, make_folds
from vpbsd.data.volumes import VolumeInfo, check_limits
from vpbsd.errors import BadInput
from vpbsd.recipes import trial
from vpbsd.settings import Settings
from vpbsd.stages import Stage, Train
from vpbsd.validation import DSC


class Engine(Protocol):
    """What brings stages to the store."""

    def bring(
        self, ticket: Ticket, trial: str, on_row: Callable[[dict[str, Any]], bool]
    ) -> tuple[str, str]:
        """(stored, failed, again or left; why)."""

    def stop(self) -> None:
        """Every trial lets go of what it waits for, and says `left`."""

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""


class Ended(NamedTuple):
    """Why a configuration goes no further."""

    outcome: Outcome
    reason: str


class Run(NamedTuple):
    """One fold and seed of a configuration.

    Attributes:
        fold: Its number.
        seed: Of the student.
        stage: The evaluation it ends with.
        epochs: Of the student's whole schedule.
        grace: Epochs in which it is not judged: the ramp of its losses.
    """

    fold: int
    seed: int
    stage: Stage
    epochs: int
    grace: float

    @property
    def student(self) -> Stage:
        """What is evaluated."""
        return self.stage.upstream["network"]


@dataclass(frozen=True)
class Search:
    """What is searched, on what, and how.

    Attributes:
        name: Of the search, and of its MLflow experiment.
        volumes: The data set.
        arm: Whose student is trained.
        seeds: Of the students.
        space: What is varied, and the settings of everything else.
        sampler: Of Optuna.
        seed: Of the sampler.
        students_per_teacher: Tried in a row with each teacher.
    """

    name: str
    volumes: tuple[VolumeInfo, ...]
    arm: str
    seeds: tuple[int, ...]
    space: Space
    sampler: str
    seed: int
    students_per_teacher: int

    @cached_property
    def folds(self) -> tuple[Fold, ...]:
        """Of each fold, its training groups only; one of them is tested."""
        return tuple(map(held_out, make_folds(self.volumes, self.space.settings.protocol)))

    def runs(self, params: Params) -> Iterator[Run]:
        """What a configuration needs: the first fold, then the others, then other seeds.

        Raises:
            BadInput: It cannot be trained.
        """
        settings = override(self.space.settings, params)
        check_limits(self.volumes, settings.data.clip_percentile)
        for seed in self.seeds:
            for fold in self.folds:
                stage = trial(settings, self.arm, fold, seed)
                first = fold is self.folds[0] and seed == self.seeds[0]
                student = stage.upstream["network"].config
                assert isinstance(student, Train)
                yield Run(
                    fold=fold.index,
                    seed=seed,
                    stage=watched(stage, fold) if first else stage,
                    epochs=student.optim.epochs,
                    grace=float(getattr(student.method, "ramp_epochs", 0.0)),
                )

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What makes the search this search; the number of trials may grow."""
        return {
            "settings": self.space.settings.model_dump(mode="json"),
            "data": data_fingerprint(self.volumes),
            "arm": self.arm,
            "seeds": list(self.seeds),
            "space": list(self.space.lines()),
            "sampler": self.sampler,
            "seed": self.seed,
            "students_per_teacher": self.students_per_teacher,
        }


def stage_of(arm: str, fold: Fold) -> Callable[[Settings], Stage]:
    """From settings to the stage an arm ends with in a fold."""
    return lambda settings: trial(settings, arm, fold, seed=0)


def watched(evaluation: Stage, fold: Fold) -> Stage:
    """The same, its student looked at while it is trained: rungs need something to go by."""
    trained = evaluation.upstream["network"]
    parts = trained.parts | {"validation": fold.test}
    return replace(evaluation, upstream={"network": replace(trained, parts=parts)})


@dataclass
class Candidate:
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
    engine: Engine
    store: Store
    halving: Halving | None

    def __post_init__(self) -> None:
        self.curve: dict[int, float] = {}
        self.scores: list[float] = []
        self.cost: float | None = None

    def go(self) -> Told | None:
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
            if stage.key in grave and manifest is not None and manifest.facts["void"]:
                return Ended("void", f"{stage.label}: {manifest.facts['void']}")
            place = place + 1 if state == "stored" else 0  # again: an input vanished, start over
        return None

    def _bring(self, run: Run, stage: Stage, *, watch: bool) -> tuple[str, str]:
        def on_row(row: dict[str, Any]) -> bool:
            return watch and self._judge(run, [row])

        return self.engine.bring(ticket(stage), f"search-{self.number}", on_row)

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

    def _told(self, outcome: Outcome, reason: str) -> Told:
        keys = {stage.label: stage.key for stage in self.runs[0].stage.lineage()}
        curve = tuple(sorted(self.curve.items()))
        rungs = self.halving.rungs(self.number) if self.halving else ()
        scores = tuple(self.scores)
        return Told(self.number, outcome, scores, curve, rungs, self.cost, reason, keys)


def candidate(
    search: Search,
    number: int,
    params: Params,
    engine: Engine,
    store: Store,
    halving: Halving | None,
) -> Told | None:
    """Brings one configuration to its end; one that cannot be trained ends at once."""
    try:
        runs = list(search.runs(params))
    except BadInput as error:
        return Told(number, "infeasible", reason=str(error))
    return Candidate(number, runs, engine, store, halving).go()
