"""What a search varies, written beside the setting that it varies.

A field of a section carries its range as an annotation::

    gamma: Annotated[float, Field(ge=0), Searched(Range(0.1, 10, log=True))] = 1.0

`Field` holds what is allowed, `Searched` what is tried, the default what is done otherwise.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

Value = Any
"""Whatever JSON holds."""


@dataclass(frozen=True)
class Range:
    """From low to high, both included; on a logarithmic scale, or of whole numbers.

    >>> print(Range(0.1, 10, log=True), Range(1, 4, whole=True).ends)
    0.1 to 10, log (1, 4)
    """

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
        """Returns True for a number of this range.

        >>> Range(1, 4, whole=True).holds(2.5)
        False
        """
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return (
            number and self.low <= value <= self.high and (not self.whole or value == int(value))
        )

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{', log' if self.log else ''}"


@dataclass(frozen=True)
class Choice:
    """One of some values.

    >>> print(Choice(("both", "labelled")))
    both | labelled
    """

    values: tuple[Value, ...]

    @property
    def ends(self) -> tuple[Value, ...]:
        """Values to try a setting with."""
        return self.values

    def holds(self, value: Value) -> bool:
        """Returns True for one of the values, lists and tuples taken as the same."""
        return json.dumps(value) in {json.dumps(own) for own in self.values}

    def __str__(self) -> str:
        return " | ".join(json.dumps(value).strip('"') for value in self.values)


@dataclass(frozen=True)
class Searched:
    """Annotates a field that a search varies.

    Attributes:
        values: What is tried.
        when: (name, value) of another field of the same section: only where it has that value
            does this one matter.
    """

    values: Range | Choice
    when: tuple[str, Value] | None = None


@dataclass(frozen=True)
class SearchedWithin:
    """Annotates a field that holds a section of several uses, each of them searched otherwise.

    Attributes:
        fields: Name of a field of that section -> what is tried here.
    """

    fields: dict[str, Range | Choice]
