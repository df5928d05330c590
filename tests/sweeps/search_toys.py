"""Toys that a search can run: a student that is watched, a teacher that is void, a scored end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

from tests.sweeps.toys import Count, Toy


@dataclass(frozen=True)
class SearchToy(Toy):
    """A toy that its worker makes anew from its class and its fields."""

    runner: ClassVar[str] = "tests.sweeps.search_toys:run_search_toy"

    def describe(self) -> dict:
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        left_out = dict.fromkeys(("upstream", "config"))  # the store has the ones, the other is {}
        plain = {name: value for name, value in plain.items() if name not in left_out}
        return plain | {"class": type(self).__name__, "diary": str(self.diary)}


@dataclass(frozen=True)
class WatchedStudent(SearchToy):
    """A student whose validations rise to its score."""

    score: float = 0.0

    def run(self, inputs, out, resume):
        for step in super().run(inputs, out, resume):
            for row in step.rows:
                row["val/dsc"] = self.score * row["epoch"] / self.epochs
            yield step


@dataclass(frozen=True)
class ScoredEvaluation(SearchToy):
    """An evaluation of one volume; `row`, if given, stands in place of what it measured."""

    score: float = 0.0
    epochs: int = 1
    row: dict | None = None

    def run(self, inputs, out, resume):
        yield from super().run(inputs, out, resume)
        row = {"dsc": self.score} if self.row is None else self.row
        (out / "rows.json").write_text(json.dumps([row]))
        numbers = {"gmac_torch": 10 * self.score}
        (out / "summary.json").write_text(json.dumps({"numbers": numbers, "void": None}))


@dataclass(frozen=True)
class VoidTeacher(SearchToy):
    """A teacher whose codebook collapsed."""

    def run(self, inputs, out, resume):
        yield from super().run(inputs, out, resume)
        (out / "summary.json").write_text(json.dumps({"numbers": {}, "void": "collapsed"}))


CLASSES = {c.__name__: c for c in (WatchedStudent, ScoredEvaluation, VoidTeacher)}


def run_search_toy(
    text: str, inputs: Mapping[str, Path], out: Path, resume: Path | None
) -> Iterator[Count]:
    plain = json.loads(text)
    toy = CLASSES[plain.pop("class")]
    yield from toy(**plain | {"diary": Path(plain["diary"])}).run(inputs, out, resume)
