"""The search space, as data: which settings are varied, between what, and under which condition.

Which stages a setting touches is not said here: it lives in the config where it belongs, and the
stage keys tell (`touched`). Ranges follow the published defaults; those of the laptop preset are
scaled to its small budgets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from vpbsd.errors import BadInput
from vpbsd.overrides import override
from vpbsd.search_ranges import Choice, Range, Value
from vpbsd.settings import Settings

Params = dict[str, Value]


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
        """Draws the value of each parameter that matters, given those before it."""
        drawn: Params = {}
        for parameter in (*self.teacher, *self.student):
            if self._matters(parameter, drawn):
                drawn[parameter.path] = suggest(parameter)
        return drawn

    def without(self, paths: Collection[str]) -> Space:
        """Returns the space without some settings, which are chosen otherwise."""
        kept = (
            tuple(p for p in level if p.path not in paths)
            for level in (self.teacher, self.student)
        )
        return Space(self.settings, *kept)

    def teacher_of(self, params: Params) -> Params:
        """Picks the part of a configuration that decides on the teacher."""
        return {p.path: params[p.path] for p in self.teacher if p.path in params}

    def holds(self, params: Params) -> bool:
        """Returns True for a configuration, of another search maybe, that is one of this space."""
        try:
            drawn = self.draw(lambda parameter: params[parameter.path])
        except KeyError:
            return False
        every = {p.path: p for p in (*self.teacher, *self.student)}
        return all(every[path].values.holds(value) for path, value in drawn.items())

    def lines(self) -> Iterator[str]:
        """Yields one line per parameter."""
        for level, parameters in (("teacher", self.teacher), ("student", self.student)):
            for p in parameters:
                only = f"  (where {p.when[0]} is {p.when[1]})" if p.when else ""
                yield f"{level}  {p.path:<45} {p.values}{only}"

    def _matters(self, parameter: Parameter, drawn: Params) -> bool:
        if parameter.when is None:
            return True
        path, value = parameter.when
        return bool(drawn.get(path, value_at(self.settings, path)) == value)


def parse_parameter(text: str, settings: Settings) -> Parameter:
    """Reads `path=low:high[:log]` or `path=a,b,c`; lists are JSON, `path=[1,2],[3,4]`.

    >>> from vpbsd.settings import laptop
    >>> print(parse_parameter("student.gamma=0.1:10:log", laptop()).values)
    0.1 to 10, log

    Raises:
        BadInput: No such setting, or another way of writing.
    """
    path, equals, written = text.partition("=")
    remedy = f"--param {text}: write it as path=low:high, path=low:high:log or path=a,b,c"
    if not equals or not written:
        raise BadInput(remedy)
    now = value_at(settings, path)
    low, colon, rest = written.partition(":")
    if not colon:
        return Parameter(path, Choice(_values(written)))
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
    """Looks up a setting's value.

    Raises:
        BadInput: No such setting; the nearest name is offered.
    """
    at: Value = settings.model_dump()
    for name in path.split("."):
        if not isinstance(at, dict) or name not in at:
            override(settings, {path: 0})  # says what is wrong with the path
        at = at[name]
    return at


def _values(text: str) -> tuple[Value, ...]:
    try:
        return tuple(json.loads(f"[{text}]"))
    except json.JSONDecodeError:
        return tuple(_plain(part) for part in text.split(","))


def _plain(text: str) -> Value:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
