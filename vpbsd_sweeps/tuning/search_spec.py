"""What a search is: an arm, a space, folds with a held-out training group, and their stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.util import find_spec
from itertools import count, takewhile
from typing import Any

from vpbsd.data.folds import Fold, held_out, make_folds
from vpbsd.data.volumes import VolumeInfo, check_intensity
from vpbsd.errors import BadInput
from vpbsd.overrides import nearest, override
from vpbsd.pipeline.normalisation import Overrides
from vpbsd.pipeline.recipes import trial
from vpbsd.pipeline.stage_config import Train
from vpbsd.pipeline.stages import Stage
from vpbsd.settings import Settings
from vpbsd.training.validation_epochs import validated_every
from vpbsd_sweeps.study.identity import data_fingerprint
from vpbsd_sweeps.study.study import Trial
from vpbsd_sweeps.tuning.space import Params, Space

SAMPLERS = {"tpe": (), "gp": ("torch", "scipy"), "qmc": ("scipy",), "nsga2": (), "random": ()}
"""Name of a sampler of Optuna -> packages that it cannot do without."""
SCHEDULERS = ("asha", "median", "none")
"""Who stops students early: one of Tune's schedulers, or nobody."""


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
        scheduler: One of `SCHEDULERS`.
        choices: Fold -> what was chosen on what is left of its training groups.
    """

    name: str
    volumes: tuple[VolumeInfo, ...]
    arm: str
    seeds: tuple[int, ...]
    space: Space
    sampler: str
    seed: int
    students_per_teacher: int
    scheduler: str = "median"
    choices: Mapping[int, Overrides] = field(default_factory=dict)

    @cached_property
    def folds(self) -> tuple[Fold, ...]:
        """Of each fold, its training groups only; one of them is tested."""
        return tuple(map(held_out, make_folds(self.volumes, self.space.settings.protocol)))

    def trials(self, params: Params) -> Iterator[Trial]:
        """Yields the trials of a configuration: first fold, other folds, then other seeds.

        Raises:
            BadInput: It cannot be trained.
        """
        base, choices = self.space.settings, self.choices
        of_fold = {
            fold.index: override(override(base, choices.get(fold.index, {})), params)
            for fold in self.folds
        }
        for settings in of_fold.values():
            check_intensity(self.volumes, settings.data)
        for seed in self.seeds:
            for fold in self.folds:
                settings = of_fold[fold.index]
                stage = trial(settings, self.arm, fold, seed)
                first = fold is self.folds[0] and seed == self.seeds[0]
                stage = watched(stage, fold) if first else stage
                yield Trial(self.arm, fold.index, seed, stage)

    @cached_property
    def rungs(self) -> tuple[int, ...]:
        """Returns the epochs at which students are compared: the first look, and ever twice it.

        They are epochs of the longest schedule in the space.
        """
        epochs = self._longest
        every = (validated_every(epochs) * 2**n for n in count())
        return tuple(takewhile(lambda rung: rung < epochs, every))

    def rungs_of(self, params: Params) -> dict[int, int]:
        """Returns own epoch -> rung of a configuration's first student, once its ramp is over.

        A shorter schedule comes to a rung at the same share of its epochs, or at the next look.
        """
        student = self._student(params)
        epochs, ramp = student.optim.epochs, float(getattr(student.method, "ramp_epochs", 0))
        step = validated_every(epochs)
        looks = {-(-rung * epochs // (self._longest * step)) * step: rung for rung in self.rungs}
        return {look: rung for look, rung in looks.items() if ramp <= look < epochs}

    @cached_property
    def _longest(self) -> int:
        longest = {
            p.path: max(p.values.ends)
            for p in self.space.student
            if p.path.endswith("optim.epochs")
        }
        return self._student(longest).optim.epochs

    def _student(self, params: Params) -> Train:
        student = next(self.trials(params)).stage.upstream["network"].config
        assert isinstance(student, Train)
        return student

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What makes the search this search; the number of trials may grow."""
        # Absent means today's default: searches that began under successive halving, before there
        # was a choice, go on under that too.
        usual = scheduler_of(self.sampler, None)
        chosen = {str(fold): dict(overrides) for fold, overrides in self.choices.items()}
        return {
            **({"choices": chosen} if chosen else {}),
            **({"scheduler": self.scheduler} if self.scheduler != usual else {}),
            "settings": self.space.settings.model_dump(mode="json"),
            "data": data_fingerprint(self.volumes),
            "arm": self.arm,
            "seeds": list(self.seeds),
            "space": list(self.space.lines()),
            "sampler": self.sampler,
            "seed": self.seed,
            "students_per_teacher": self.students_per_teacher,
        }


def check_sampler(name: str) -> None:
    """Refuses a sampler that cannot run here.

    Raises:
        BadInput: Unknown, or it needs a package that is not installed.
    """
    if name not in SAMPLERS:
        raise BadInput(f"there is no sampler '{name}'{nearest(name, list(SAMPLERS))}")
    missing = [package for package in SAMPLERS[name] if find_spec(package) is None]
    if missing:
        raise BadInput(
            f"sampler {name} needs the package {missing[0]}: pip install {missing[0]}, or pass "
            "--sampler tpe"
        )


def scheduler_of(sampler: str, asked: str | None) -> str:
    """Returns who stops students early: the median rule, and nobody where cost counts too.

    ASHA lost some of the best on a recorded grid (docs/search.md), the median rule did not.

    Raises:
        BadInput: Students cannot be ranked by DSC alone.
    """
    if sampler != "nsga2":
        return asked or "median"
    if asked not in (None, "none"):
        raise BadInput(
            f"--scheduler {asked} ranks students by DSC alone, and sampler nsga2 searches DSC "
            "against cost: leave it out, or pass --sampler tpe"
        )
    return "none"


def stage_of(arm: str, fold: Fold) -> Callable[[Settings], Stage]:
    """Returns the function from settings to the stage that an arm ends with in a fold."""
    return lambda settings: trial(settings, arm, fold, seed=0)


def watched(evaluation: Stage, fold: Fold) -> Stage:
    """Returns the stage with its student validated while it is trained, which rungs go by."""
    trained = evaluation.upstream["network"]
    parts = {**trained.parts, "validation": fold.test}
    return replace(evaluation, upstream={"network": replace(trained, parts=parts)})
