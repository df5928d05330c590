"""What a sweep is: arms x folds x seeds of one data set under one set of settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from vpbsd.data.folds import Fold, make_folds
from vpbsd.data.volumes import VolumeInfo
from vpbsd.errors import BadInput
from vpbsd.overrides import nearest, override
from vpbsd.pipeline.arms import ARMS, EXTERNAL, GROUPS
from vpbsd.pipeline.crossings import ON, check_crossing
from vpbsd.pipeline.normalisation import Overrides
from vpbsd.pipeline.recipes import external, is_reference, trial
from vpbsd.pipeline.stage_config import Timing, Train
from vpbsd.pipeline.stages import Stage
from vpbsd.section import digest
from vpbsd.settings import Settings
from vpbsd_sweeps.study.external import ExternalMasks
from vpbsd_sweeps.study.identity import data_fingerprint
from vpbsd_sweeps.study.void import examined_by

ALONE = "arm:"
USUAL = "dsc"
"""The metric that decides a study which declares none; it is in no identity."""


@dataclass(frozen=True)
class Trial:
    """One arm on one fold with one seed: what is measured, whoever runs it.

    How it is run is a `JobChain`, what came out a `TrialResult`.

    Attributes:
        arm: A row of the table.
        fold: Number of the fold.
        seed: Of the student.
        stage: The evaluation it ends with.
    """

    arm: str
    fold: int
    seed: int
    stage: Stage

    @property
    def id(self) -> str:
        """Its name within the study."""
        return f"{self.arm}-fold{self.fold}-seed{self.seed}"


@dataclass(frozen=True)
class Study:
    """A named set of trials.

    Attributes:
        name: Of the study, and of its MLflow experiment.
        settings: Of every trial.
        volumes: The data set.
        arms: Rows of the table.
        seeds: Of the students; one trial per arm, fold and seed.
        teacher_seed: Of pre-training and fine-tuning, shared by all student seeds.
        timed: Whether each network's time per block is measured too.
        choices: Fold -> what was chosen on its training groups; changes the settings there.
        external: Masks of other tools; each is one of the arms.
        primary: The metric that decides, if it was declared; it changes no stage.
    """

    name: str
    settings: Settings
    volumes: tuple[VolumeInfo, ...]
    arms: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    teacher_seed: int = 0
    timed: bool = False
    choices: Mapping[int, Overrides] = field(default_factory=dict)
    external: tuple[ExternalMasks, ...] = ()
    primary: str | None = None

    @cached_property
    def folds(self) -> tuple[Fold, ...]:
        """The splits of the data set."""
        return make_folds(self.volumes, self.settings.protocol)

    def settings_in(self, fold: int) -> Settings:
        """Returns the settings of a fold: the study's, with what was chosen for it."""
        return override(self.settings, self.choices.get(fold, {}))

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """All trials, fold by fold; references know no student seed: one per fold."""
        return tuple(
            Trial(arm, fold.index, seed, self._last_stage(settings, arm, fold, seed))
            for fold in self.folds
            for settings in (self.settings_in(fold.index),)
            for arm in self.arms
            for seed in (self.seeds[:1] if is_reference(arm) else self.seeds)
        )

    def _last_stage(self, settings: Settings, arm: str, fold: Fold, seed: int) -> Stage:
        masks = next((one.by_volume for one in self.external if one.arm == arm), None)
        if masks is not None:
            return external(settings, arm, fold, masks)
        return trial(settings, arm, fold, seed, self.teacher_seed)

    @cached_property
    def timings(self) -> tuple[Stage, ...]:
        """One timing per network that a trial delivers, if networks are timed."""
        timings = map(self.timing, self.trials if self.timed else ())
        return tuple({t.key: t for t in timings if t is not None}.values())

    @property
    def beside(self) -> tuple[Stage, ...]:
        """What is measured beside the trials, whose results do not depend on it."""
        return (*self.examinations, *self.timings)

    def timing(self, of: Trial) -> Stage | None:
        """Returns the stage that times the network of a trial; None where there is no network."""
        if "network" not in of.stage.upstream:  # a threshold, or masks of another tool
            return None
        trained = of.stage.upstream["network"].config
        assert isinstance(trained, Train)
        network, s = trained.method.network, self.settings
        config = Timing(network=network, patch=s.data.patch, precision=s.precision)
        label = f"time {network.name} {digest(network)[:6]}"
        return Stage(config, {}, {}, 0, label)

    @cached_property
    def examinations(self) -> tuple[Stage, ...]:
        """One examination per teacher whose code words a trial's student learns."""
        every = (examined_by(trial.stage) for trial in self.trials)
        return tuple({e.key: e for e in every if e is not None}.values())

    def stages(self) -> Iterator[Stage]:
        """Yields every stage that a trial rests on, once, upstream first; then those beside.

        Beside the trials stand timings and examinations: they change no result.
        """
        seen: set[str] = set()
        for last in [*(one.stage for one in self.trials), *self.beside]:
            for stage in last.lineage():
                if stage.key not in seen:
                    seen.add(stage.key)
                    yield stage

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What makes the study this study; another identity needs another name."""
        chosen = {str(fold): dict(overrides) for fold, overrides in self.choices.items()}
        masks = {one.name: one.identity for one in self.external}
        return {
            **({"choices": chosen} if chosen else {}),  # older identities have none
            "settings": self.settings.model_dump(mode="json"),
            "data": data_fingerprint(self.volumes),
            "arms": list(self.arms),
            "seeds": list(self.seeds),
            "teacher_seed": self.teacher_seed,
            "timed": self.timed,
            **({"external": masks} if masks else {}),  # older identities have neither
            **({"primary": self.primary} if self.primary not in (None, USUAL) else {}),
        }


def check_arms(names: list[str]) -> tuple[str, ...]:
    """Returns the arms, with groups of them written out, in the order given, each once.

    A name that an arm and a table share is the table's; `arm:NAME` is the arm alone.

    Raises:
        BadInput: An arm does not exist; the nearest name is offered.

    >>> check_arms(["vpbsd", "kd", "vpbsd", "arm:s2dc", "kd_on_s2dc"])
    ('vpbsd', 'kd', 's2dc', 'kd_on_s2dc')
    """
    arms: list[str] = []
    for name in names:
        arms += GROUPS[name] if name in GROUPS else (check_arm(name.removeprefix(ALONE)),)
    return tuple(dict.fromkeys(arms))


def check_arm(name: str) -> str:
    """Returns the arm of a name, which may be a crossing (`kd_on_s2dc`).

    Raises:
        BadInput: It does not exist; the nearest name is offered.
    """
    if name in ARMS:
        return name
    if name.startswith(EXTERNAL):
        raise BadInput(f"--arms {name}: pass --external {name.removeprefix(EXTERNAL)}=FOLDER")
    if ON in name:
        return check_crossing(name)
    raise BadInput(f"there is no arm '{name}'{nearest(name, [*ARMS, *GROUPS])}")


def asked(arm: str) -> str:
    """Returns what `--arms` takes for an arm alone.

    >>> asked("kd"), asked("s2dc")
    ('kd', 'arm:s2dc')
    """
    return f"{ALONE}{arm}" if arm in GROUPS else arm
