"""Stages that count instead of training: real jobs, a real store, a real Ray, no torch."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, NamedTuple


class Count(NamedTuple):
    """Progress of a toy."""

    rows: list[dict]
    share: float
    save: object


@dataclass(frozen=True)
class Plain:
    """The config of a stage that has none."""

    def model_dump(self, mode: str) -> dict:
        return {}


@dataclass(frozen=True)
class Toy:
    """Adds its number to the sum of its inputs, one row per epoch.

    Attributes:
        diary: A file that gets a line per epoch that was really run.
        trouble: What goes wrong: "kill" once in the third epoch, or "fail".
    """

    label: str
    diary: Path
    upstream: Mapping[str, Toy] = field(default_factory=dict)
    family: str = "student"
    epochs: int = 4
    seconds: float = 0.0
    trouble: str = ""
    config: Plain = Plain()
    seed: int = 0
    runner: ClassVar[str] = "tests.sweeps.toys:run_toy"

    @property
    def key(self) -> str:
        above = "".join(toy.key for toy in self.upstream.values())
        return hashlib.sha256(f"{self.label}{above}".encode()).hexdigest()

    def lineage(self) -> Iterator[Toy]:
        for toy in self.upstream.values():
            yield from toy.lineage()
        yield self

    def describe(self) -> dict:
        """What the worker needs; upstream toys are read from the store."""
        names = ("label", "family", "epochs", "seconds", "trouble")
        return {name: getattr(self, name) for name in names} | {"diary": str(self.diary)}

    def run(self, inputs: Mapping[str, Path], out: Path, resume: Path | None) -> Iterator[Count]:
        rows = json.loads(resume.read_text()) if resume else []
        for epoch in range(len(rows), self.epochs):
            if self.trouble == "fail":
                raise ValueError(f"{self.label} cannot learn\nat all")
            with self.diary.open("a") as diary:
                diary.write(f"{self.label} {epoch}\n")
            if self.trouble == "kill" and epoch == 2 and self._first_time():
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(self.seconds)
            rows.append({"epoch": epoch + 1.0, "value": float(epoch), "time": time.time()})
            yield Count(rows, len(rows) / self.epochs, lambda path: _save(path, rows))
        above = sum(json.loads((p / "sum.json").read_text()) for p in inputs.values())
        (out / "sum.json").write_text(json.dumps(above + len(rows)))
        (out / "stage.json").write_text("{}")
        (out / "rows.json").write_text(json.dumps(rows))
        (out / "summary.json").write_text(json.dumps({"numbers": {}, "void": None}))

    def _first_time(self) -> bool:
        mark = self.diary.with_name(f"killed-{self.label}")
        first = not mark.exists()
        mark.touch()
        return first


def run_toy(
    text: str, inputs: Mapping[str, Path], out: Path, resume: Path | None
) -> Iterator[Count]:
    told = json.loads(text)
    yield from Toy(**told | {"diary": Path(told["diary"])}).run(inputs, out, resume)


def _save(path: Path, rows: list[dict]) -> None:
    path.write_text(json.dumps(rows))
