"""Dotted overrides of settings, checked, with the nearest name for a wrong one."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from pydantic import ValidationError

from vpbsd.errors import BadInput
from vpbsd.section import S, Section


def override(settings: S, changes: Mapping[str, object]) -> S:
    """Changes some dotted paths of settings, checked as a whole.

    Args:
        settings: Any section.
        changes: Dotted path -> value, such as ``{"student.gamma": 0.5}``.

    Raises:
        BadInput: A path that does not exist (the nearest name is offered) or a value that its
            field refuses.
    """
    plain = settings.model_dump()
    for path, value in changes.items():
        _assign(settings, plain, path, value)
    try:
        return type(settings).model_validate(plain)
    except ValidationError as error:
        raise BadInput(_first_problem(error)) from None


def parse_changes(texts: list[str]) -> dict[str, object]:
    """Reads ``path=value`` texts; values are JSON, else plain text.

    Raises:
        BadInput: A text without ``=``.

    >>> parse_changes(["student.gamma=0.5", "protocol.split=space"])
    {'student.gamma': 0.5, 'protocol.split': 'space'}
    """
    changes: dict[str, object] = {}
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals:
            raise BadInput(f"--set {text}: write it as path=value, such as student.gamma=0.5")
        try:
            changes[path] = json.loads(value)
        except json.JSONDecodeError:
            changes[path] = value
    return changes


def nearest(word: str, known: list[str]) -> str:
    """Offers the closest known word, or the list of them, as the end of a message.

    >>> nearest("laptob", ["laptop", "paper"])
    "; did you mean 'laptop'?"
    """
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.4)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known are {', '.join(sorted(known))}" if known else ""


def _assign(settings: Section, plain: dict[str, Any], path: str, value: object) -> None:
    *way, last = path.split(".")
    at: Any = plain
    for name in way:
        _check_name(at, name, path)
        at = at[name]
    _check_name(at, last, path)
    at[last] = deepcopy(value)  # a later path may go into it


def _check_name(at: object, name: str, path: str) -> None:
    known = list(at) if isinstance(at, dict) else []
    if name not in known:
        raise BadInput(f"setting '{path}' has no field '{name}'{nearest(name, known)}")


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"]) or "settings"
    message = problem["msg"].removeprefix("Value error, ")
    return f"setting '{where}': {message} (given: {_shown(problem['input'])})"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
