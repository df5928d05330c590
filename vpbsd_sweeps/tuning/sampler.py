"""Draws the configuration that is tried next; the one file that imports optuna.

Stage-aware: a teacher costs many students, so its settings are drawn seldom. Each teacher is
kept for some students in a row, and the sampler fills in only what students see; what it learns
from is all trials together. With one student per teacher this is the plain sampler.

Optuna is asked and told from here only. Its study lives in memory and is rebuilt from our
journal, so there is no second record that could disagree.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from vpbsd.search_ranges import Range, Value
from vpbsd_sweeps.tuning.space import Parameter, Params, Space

POPULATION = 16  # of NSGA-II: Optuna's own 50 would be a random search of most of our studies
ENOUGH_FOR_IMPORTANCES = 10
Curve = Sequence[tuple[int, float]]
"""(epoch, score) while a student was trained."""


class ConfigSampler:
    """Draws configurations and learns how they did.

    Args:
        space: What may be drawn.
        sampler: One of `search_spec.SAMPLERS`.
        seed: Of the sampler; the n-th draw depends on it, n and what was told before.
        students_per_teacher: Drawn in a row for each teacher.
    """

    def __init__(self, space: Space, sampler: str, seed: int, students_per_teacher: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.space, self.sampler, self.seed = space, sampler, seed
        self.students_per_teacher = students_per_teacher
        self.objectives = 2 if sampler == "nsga2" else 1
        both = (StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE)
        self.study = optuna.create_study(directions=both[: self.objectives])
        self._trials: dict[int, optuna.trial.Trial] = {}
        self._teacher: Params = {}
        self._left = 0

    def ask(self, number: int) -> Params:
        """Draws the configuration of trial `number`."""
        self.study.sampler = self._sampler(number)
        return self._begin(number)

    def ask_again(self, number: int, params: Params) -> None:
        """Takes note of a trial that an earlier driver asked for."""
        if self.sampler in ("tpe", "gp", "random"):  # they keep nothing between draws
            self.study.sampler = optuna.samplers.RandomSampler(seed=0)
        else:
            self.study.sampler = self._sampler(number)
        self.study.enqueue_trial(_encoded(params))
        self._begin(number)

    def tell(self, number: int, values: Sequence[float] | None, curve: Curve) -> None:
        """Learns how a trial ended; None: stopped, void or failed, so worse than any complete one.

        Its curve ranks it among its like. A teacher whose first student came to nothing at all
        is not kept for others.
        """
        trial = self._trials.pop(number)
        if values is not None:
            self.study.tell(trial, list(values))
            return
        if self.objectives == 1:
            for epoch, score in curve:
                trial.report(score, epoch)
        if not curve and self._is_current(trial):
            self._left = 0
        self.study.tell(trial, state=TrialState.PRUNED)

    def add_finished(self, params: Params, values: Sequence[float]) -> bool:
        """Learns from a finished trial of another search, if it is one of this space."""
        if not self.space.holds(params) or len(values) < self.objectives:
            return False
        self.study.add_trial(_finished(self.space, params, values[: self.objectives]))
        return True

    def _begin(self, number: int) -> Params:
        with warnings.catch_warnings():  # choices of Optuna's samplers that it calls experimental
            warnings.simplefilter("ignore")
            trial = self.study.ask()
            _ = trial.relative_params  # drawn even if they are given: a sequence moves on by this
            params = self.space.draw(lambda p: _suggest(trial, p))
        self._trials[number] = trial
        teacher = self.space.teacher_of(params)
        if self._left > 0 and teacher == self._teacher:
            self._left -= 1
        else:
            self._teacher, self._left = teacher, self.students_per_teacher - 1
        return params

    def _is_current(self, trial: optuna.trial.Trial) -> bool:
        params = {path: _decoded(value) for path, value in trial.params.items()}
        return self.space.teacher_of(params) == self._teacher

    def _sampler(self, number: int) -> BaseSampler:
        """Makes a sampler of all settings; of students' only while the newest teacher is kept."""
        base, fixed = _base(self.sampler, self.seed, number), _encoded(self._teacher)
        if self._left == 0 or not fixed:
            return base
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.PartialFixedSampler(fixed, base)


def importances(space: Space, finished: Iterable[tuple[Params, float]]) -> dict[str, float] | None:
    """Shares out the spread of the objective among parameters (PED-ANOVA), largest first.

    Args:
        space: What was searched.
        finished: Configuration and objective of trials at full budget on all folds, no others.

    Returns:
        Shares that add up to 1, or None where there are too few trials to tell.
    """
    trials = [_finished(space, params, [value]) for params, value in finished]
    if len(trials) < ENOUGH_FOR_IMPORTANCES or len({t.value for t in trials}) == 1:
        return None
    study = optuna.create_study(direction="maximize")
    study.add_trials(trials)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return optuna.importance.get_param_importances(study)


def _base(name: str, seed: int, number: int) -> BaseSampler:
    """Makes a sampler for one draw: the n-th needs no memory of how the driver got there."""
    drawn = (seed * 1_000_003 + number) % 2**32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "tpe":
            return optuna.samplers.TPESampler(seed=drawn)
        if name == "gp":
            return optuna.samplers.GPSampler(seed=drawn, warn_independent_sampling=False)
        if name == "qmc":  # the place in the sequence is kept by the study
            return optuna.samplers.QMCSampler(
                seed=seed,
                scramble=True,
                independent_sampler=optuna.samplers.RandomSampler(seed=drawn),
                warn_independent_sampling=False,
            )
        if name == "nsga2":
            return optuna.samplers.NSGAIISampler(seed=drawn, population_size=POPULATION)
        return optuna.samplers.RandomSampler(seed=drawn)


def _distribution(parameter: Parameter) -> BaseDistribution:
    values = parameter.values
    if not isinstance(values, Range):
        return CategoricalDistribution([_label(value) for value in values.values])
    if values.whole:
        return IntDistribution(int(values.low), int(values.high), log=values.log)
    return FloatDistribution(values.low, values.high, log=values.log)


def _suggest(trial: optuna.trial.Trial, parameter: Parameter) -> Value:
    path, how = parameter.path, _distribution(parameter)
    if isinstance(how, CategoricalDistribution):
        return _decoded(trial.suggest_categorical(path, how.choices))
    if isinstance(how, IntDistribution):
        return trial.suggest_int(path, how.low, how.high, log=how.log)
    assert isinstance(how, FloatDistribution)
    return trial.suggest_float(path, how.low, how.high, log=how.log)


def _finished(space: Space, params: Params, values: Sequence[float]) -> optuna.trial.FrozenTrial:
    drawn = space.draw(lambda parameter: params[parameter.path])
    every = {p.path: p for p in (*space.teacher, *space.student)}
    return create_trial(
        params=_encoded(drawn),
        distributions={path: _distribution(every[path]) for path in drawn},
        values=list(values),
    )


def _label(value: Value) -> Any:  # noqa: ANN401 (what Optuna takes as a category)
    """Writes lists as JSON: a category must be a plain value."""
    return f"json {json.dumps(value)}" if isinstance(value, list | dict) else value


def _encoded(params: Params) -> Params:
    return {path: _label(value) for path, value in params.items()}


def _decoded(label: Value) -> Value:
    encoded = isinstance(label, str) and label.startswith("json ")
    return json.loads(label.removeprefix("json ")) if encoded else label
