"""The search space, as data: which settings are varied, between what, and under which condition.

Which stages a setting touches is not said here: it lives in the config where it belongs, and the
stage keys tell (`touched`). Ranges follow the published defaults; those of the laptop preset are
scaled to its small budgets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from vpbsd.config import override
from vpbsd.errors import BadInput
from vpbsd.settings import Settings
from vpbsd.stages import Family, Stage

Value = Any
"""Whatever JSON holds."""
Params = dict[str, Value]
BOOK = "pretrain.network.codebook"
OF_TEACHERS: frozenset[Family] = frozenset({"pre-training", "fine-tuning"})


@dataclass(frozen=True)
class Range:
    """From low to high, both included; on a logarithmic scale, or of whole numbers."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    @property
    def ends(self) -> tuple[Value, ...]:
        """Values to try a setting with."""
        kind = int if self.whole else float
        return kind(self.low), kind(self.high)

    def holds(self, value: Value) -> bool:
        """Whether a value lies in it."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return (
            number and self.low <= value <= self.high and (not self.whole or value == int(value))
        )

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{', log' if self.log else ''}"


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[Value, ...]

    @property
    def ends(self) -> tuple[Value, ...]:
        """Values to try a setting with."""
        return self.values

    def holds(self, value: Value) -> bool:
        """Whether a value is one of them."""
        return json.dumps(value) in {json.dumps(own) for own in self.values}

    def __str__(self) -> str:
        return " | ".join(json.dumps(value).strip('"') for value in self.values)


@dataclass(frozen=True)
class Parameter:
    """One setting that is varied.

    Attributes:
        path: Of the setting.
        values: What it may be.
        when: (path, value): it matters only where that setting has that value.
    """

    path: str
    values: Range | Choice
    when: tuple[str, Value] | None = None


GUMBEL = (f"{BOOK}.straight_through", "gumbel")
"""The deterministic copy draws no sample: temperature, kappa and noise mean nothing to it."""

SPACE = (
    # teacher and its patterns
    Parameter("data.clip_percentile", Choice((95.0, 99.0, 99.5))),
    Parameter(f"{BOOK}.size", Choice((64, 128, 256, 512, 1024))),
    Parameter(f"{BOOK}.alignment", Choice(("conv1", "linear", "chsel", "linear_flat"))),
    Parameter(f"{BOOK}.commitment", Range(0.05, 2, log=True)),
    Parameter(f"{BOOK}.warm", Choice((0.1, 0.2, 0.3))),
    Parameter(f"{BOOK}.straight_through", Choice(("gumbel", "copy"))),
    Parameter(f"{BOOK}.tau_start", Range(1, 4), GUMBEL),
    Parameter(f"{BOOK}.tau_floor", Range(0.1, 0.9), GUMBEL),
    Parameter(f"{BOOK}.tau_share", Range(0.3, 1), GUMBEL),
    Parameter(f"{BOOK}.noise", Choice(("post", "pre")), GUMBEL),
    Parameter(f"{BOOK}.kappa_factor", Range(0.1, 30, log=True), GUMBEL),
    Parameter("pretrain.alpha", Range(0.01, 1, log=True)),
    Parameter("pretrain.skip_drop", Choice((0.0, 0.5, 1.0))),
    Parameter("pretrain.reconstruction", Choice(("mse", "l1"))),
    Parameter("finetune.lr", Range(1e-6, 1e-4, log=True)),
    # student
    Parameter("student.optim.lr", Range(1e-3, 3e-2, log=True)),
    Parameter("student.optim.final_ratio", Choice((0.1, 0.01, 0.001))),
    Parameter("student.optim.weight_decay", Choice((0.0, 1e-6, 1e-5, 1e-4, 1e-3))),
    Parameter("student.beta", Range(0.1, 1, log=True)),
    Parameter("student.ramp_epochs", Choice((40.0, 80.0, 150.0, 300.0))),
    Parameter("student.gamma", Range(0.1, 10, log=True)),
    Parameter("student.distil_on", Choice(("both", "labelled"))),
    Parameter("student.mid", Range(0.1, 100, log=True)),
    Parameter("student.others_on", Choice(("both", "labelled"))),
    Parameter("student.first_phase", Choice((0.1, 0.2, 0.33))),
    Parameter("student.kd.temperature", Choice((1.0, 2.0, 4.0, 8.0))),
    Parameter("student.kd.weight", Range(0.1, 10, log=True)),
    Parameter("student.vid.weight", Range(0.01, 10, log=True)),
    Parameter("student.vid.hidden", Choice((192, 384, 768))),
    Parameter("student.ab.margin", Choice((0.5, 1.0, 2.0))),
    Parameter("student.ab.weight", Range(1, 100, log=True)),
)
"""Of every arm; what an arm does not use is left out by `space_of`."""

SCALED: dict[str, dict[str, Range | Choice]] = {
    "laptop": {
        f"{BOOK}.size": Choice((8, 16, 24, 48)),  # 48 codes are the most its warm-up can start
        f"{BOOK}.alignment": Choice(("conv1", "linear", "chsel")),
        f"{BOOK}.warm": Choice((0.2, 0.3, 0.4)),
        f"{BOOK}.kappa_factor": Range(0.5, 16, log=True),
        "pretrain.skip_drop": Choice((0.5, 1.0)),
        "finetune.lr": Range(2e-3, 2e-2, log=True),
        "student.ramp_epochs": Choice((4.0, 8.0, 15.0, 30.0)),
    },
}
"""What a preset searches elsewhere than the published settings."""

WIDTHS = "student.network.widths=[2,8,12,32],[4,8,16,32],[4,16,20,32],[8,16,24,32],[8,32,40,32]"
"""Searched too where cost is an objective. The deepest width is that of the code words: it stays,
or every student would need a teacher of its own."""


@dataclass(frozen=True)
class Space:
    """What a search varies: teachers' settings first, then students'.

    Attributes:
        settings: Of everything else.
        teacher: Parameters whose change needs another teacher.
        student: Parameters that only students see.
    """

    settings: Settings
    teacher: tuple[Parameter, ...]
    student: tuple[Parameter, ...]

    def draw(self, suggest: Callable[[Parameter], Value]) -> Params:
        """Asks for the value of each parameter that matters, given those before it."""
        drawn: Params = {}
        for parameter in (*self.teacher, *self.student):
            if self._matters(parameter, drawn):
                drawn[parameter.path] = suggest(parameter)
        return drawn

    def teacher_of(self, params: Params) -> Params:
        """The part of a configuration that decides on the teacher."""
        return {p.path: params[p.path] for p in self.teacher if p.path in params}

    def holds(self, params: Params) -> bool:
        """Whether a configuration, of another search maybe, is one of this space."""
        try:
            drawn = self.draw(lambda parameter: params[parameter.path])
        except KeyError:
            return False
        every = {p.path: p for p in (*self.teacher, *self.student)}
        return all(every[path].values.holds(value) for path, value in drawn.items())

    def lines(self) -> Iterator[str]:
        """One line per parameter."""
        for level, parameters in (("teacher", self.teacher), ("student", self.student)):
            for p in parameters:
                only = f"  (where {p.when[0]} is {p.when[1]})" if p.when else ""
                yield f"{level}  {p.path:<45} {p.values}{only}"

    def _matters(self, parameter: Parameter, drawn: Params) -> bool:
        if parameter.when is None:
            return True
        path, value = parameter.when
        return bool(drawn.get(path, value_at(self.settings, path)) == value)


StagesOf = Callable[[Settings], Stage]
"""From settings to the stage a trial ends with."""


def space_of(
    settings: Settings, preset: str, stage_of: StagesOf, asked: list[str], *, students: bool
) -> Space:
    """The parameters that matter to an arm.

    Args:
        settings: Of what is not varied.
        preset: Whose ranges are taken.
        stage_of: Of the arm; its keys tell what a parameter touches.
        asked: `path=low:high[:log]` or `path=a,b,c`; they replace the ranges here, or add to them.
        students: Only what needs no other teacher.

    Raises:
        BadInput: A parameter asked for does not exist, or changes nothing in this arm.
    """
    known = {p.path: replace(p, values=_scaled(p, preset)) for p in SPACE}
    own = {p.path: p for p in (parse_parameter(text, settings) for text in asked)}
    every = known | {path: replace(known.get(path, p), values=p.values) for path, p in own.items()}
    levels: dict[bool, list[Parameter]] = {True: [], False: []}
    for path, parameter in every.items():
        families = touched(settings, parameter, stage_of)
        if path in own and not families:
            raise BadInput(
                f"--param {path}: changes nothing in this arm or data set, leave it out"
            )
        if families:
            levels[bool(families & OF_TEACHERS)].append(parameter)
    kept = [p for p in levels[True] if not students or p.path in own]
    return Space(settings, tuple(kept), tuple(levels[False]))


def touched(settings: Settings, parameter: Parameter, stage_of: StagesOf) -> frozenset[Family]:
    """Families of the stages that are other stages once a parameter has another value."""
    if parameter.when is not None:
        settings = override(settings, dict([parameter.when]))
    before = {stage.key for stage in stage_of(settings).lineage()}
    families: set[Family] = set()
    for value in parameter.values.ends:
        try:
            last = stage_of(override(settings, {parameter.path: value}))
        except BadInput:
            continue  # a point that cannot be trained; others of its range can
        families |= {stage.family for stage in last.lineage() if stage.key not in before}
    return frozenset(families)


def parse_parameter(text: str, settings: Settings) -> Parameter:
    """`path=low:high[:log]` or `path=a,b,c`; lists are written as JSON, `path=[1,2],[3,4]`.

    Raises:
        BadInput: No such setting, or another way of writing.
    """
    path, equals, told = text.partition("=")
    remedy = f"--param {text}: write it as path=low:high, path=low:high:log or path=a,b,c"
    if not equals or not told:
        raise BadInput(remedy)
    now = value_at(settings, path)
    low, colon, rest = told.partition(":")
    if not colon:
        return Parameter(path, Choice(_values(told)))
    high, _, log = rest.partition(":")
    try:
        ends = float(low), float(high)
    except ValueError:
        raise BadInput(remedy) from None
    if log not in ("", "log") or not ends[0] < ends[1] or (log and ends[0] <= 0):
        raise BadInput(f"{remedy}, with low < high, and 0 < low for log")
    whole = isinstance(now, int) and not isinstance(now, bool)
    return Parameter(path, Range(*ends, log=bool(log), whole=whole))


def value_at(settings: Settings, path: str) -> Value:
    """A setting's value.

    Raises:
        BadInput: No such setting; the nearest name is offered.
    """
    at: Value = settings.model_dump()
    for name in path.split("."):
        if not isinstance(at, dict) or name not in at:
            override(settings, {path: 0})  # says what is wrong with the path
        at = at[name]
    return at


def _scaled(parameter: Parameter, preset: str) -> Range | Choice:
    return SCALED.get(preset, {}).get(parameter.path, parameter.values)


def _values(told: str) -> tuple[Value, ...]:
    try:
        return tuple(json.loads(f"[{told}]"))
    except json.JSONDecodeError:
        return tuple(_plain(part) for part in told.split(","))


def _plain(text: str) -> Value:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
