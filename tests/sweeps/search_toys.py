"""Toys that a search can run: a student that is watched, a teacher that is void, a scored end."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

from tests.sweeps.toys import Count, Toy
from vpbsd.errors import BadInput
from vpbsd.search_ranges import Range
from vpbsd.settings import laptop
from vpbsd_sweeps.study.study import Trial
from vpbsd_sweeps.tuning.space import Parameter, Space
from vpbsd_sweeps.tuning.trial import run_trial

TEACHER = Parameter("pretrain.alpha", Range(0, 1))
STUDENTS = Parameter("student.gamma", Range(0, 1))
FACTS = {"a": 1, "settings": {}, "data": "d", "arm": "vpbsd"}


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


class ToySearch(SimpleNamespace):
    """Two folds; the DSC of a configuration is its gamma, a tenth more on the second fold."""

    def __init__(self, diary=None, **changes):
        facts = {"name": "toys", "arm": "vpbsd", "sampler": "random", "seed": 0}
        facts |= {"scheduler": "asha", "rungs": (2, 4, 8)}
        facts |= {"students_per_teacher": 3, "folds": (0, 1), "seeds": (0,), "identity": FACTS}
        facts |= {"space": Space(laptop(), (TEACHER,), (STUDENTS,)), "seconds": 0.0}
        super().__init__(diary=diary, **(facts | changes))

    def rungs_of(self, params):
        return {rung: rung for rung in self.rungs}

    def trials(self, params):
        alpha, gamma = params.get("pretrain.alpha", 0.5), params.get("student.gamma", 0.6)
        if 0.4 < gamma < 0.5:
            raise BadInput("cannot be trained")
        kind = VoidTeacher if alpha > 0.9 else Toy
        teacher = kind(f"teacher {alpha}", self.diary, family="fine-tuning", epochs=1)
        for fold in (0, 1):
            score, trouble = gamma + 0.1 * fold, "fail" if gamma < 0.05 else ""
            student = WatchedStudent(
                f"student {gamma} {fold}",
                self.diary,
                {"teacher": teacher},
                epochs=10,
                score=score,
                trouble=trouble,
                seconds=self.seconds,
            )
            label = f"evaluate {gamma} {fold}"
            network = {"network": student}
            last = ScoredEvaluation(label, self.diary, network, family="evaluation", score=score)
            yield Trial("vpbsd", fold, 0, last)


def loaded_modules(search, number, params, follow, show, store):
    """A trial that tells what its coordinator has loaded at its end."""
    ended = run_trial(search, number, params, follow, show, store)
    return replace(ended, reason=" ".join(sys.modules))
