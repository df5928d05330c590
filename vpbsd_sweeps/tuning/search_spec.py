"""What a search is: an arm, a space, folds with a held-out training group, and their stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from vpbsd.data.folds import Fold, held_out, make_folds
from vpbsd.data.volumes import VolumeInfo, check_limits
from vpbsd.overrides import override
from vpbsd.pipeline.recipes import trial
from vpbsd.pipeline.stage_config import Train
from vpbsd.pipeline.stages import Stage
from vpbsd.settings import Settings
from vpbsd_sweeps.study.identity import data_fingerprint
from vpbsd_sweeps.tuning.space import Params, Space


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
    parts = {**trained.parts, "validation": fold.test}
    return replace(evaluation, upstream={"network": replace(trained, parts=parts)})
