"""A stage: a config, what it starts from, the volumes it reads, a seed; and the key of it all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from vpbsd.config import (
    Data,
    Grid,
    LightNet,
    Network,
    Optim,
    Sampling,
    Section,
    canonical,
    digest,
)
from vpbsd.data.folds import Part
from vpbsd.methods.patterns import PatternsConfig
from vpbsd.methods.roster import MethodConfig
from vpbsd.train import Precision

if TYPE_CHECKING:
    from vpbsd.run import Step

SaidField = Literal["codes", "pseudo", "features", "features16", "margin"]
Role = Literal["labelled", "unlabelled", "test", "validation"]
Family = Literal["pre-training", "fine-tuning", "targets", "student", "evaluation", "timing"]
VALIDATED = 1
"""Raised by hand when validation while training gives other numbers; no other key knows it."""


class Train(Section):
    """Trains a method; upstream `start` gives its first weights, the others what was said."""

    kind: Literal["train"] = "train"
    method: MethodConfig = Field(discriminator="name")
    data: Data
    sampling: Sampling | None
    augment: bool
    optim: Optim
    precision: Precision

    @property
    def numerics(self) -> int:
        """Raised by hand when this kind of stage gives other results for the same config."""
        return self.method.numerics


class Targets(Section):
    """One field of what the frozen teacher says about every patch of one role, said once."""

    numerics: ClassVar[int] = 1
    kind: Literal["targets"] = "targets"
    says: SaidField
    random_codes: bool = False
    """Whether code words are random rows, drawn from the stage's seed, not the learned ones."""
    data: Data
    sampling: Sampling | None
    precision: Precision


class Evaluate(Section):
    """Measures a network on whole volumes or regions of them."""

    numerics: ClassVar[int] = 1
    kind: Literal["evaluate"] = "evaluate"
    data: Data
    precision: Precision


class Timing(Section):
    """How long a network takes for a block on the machine that is asked first, and its size."""

    numerics: ClassVar[int] = 1
    kind: Literal["timing"] = "timing"
    network: Network = Field(discriminator="name")
    patch: Grid
    precision: Precision


@dataclass(frozen=True)
class Stage:
    """One unit of work whose result is stored under its key.

    Attributes:
        config: Everything that changes the result.
        upstream: Input name -> stage whose result it is.
        parts: Role -> the parts of volumes it reads.
        seed: Of every random stream in it.
        label: For people ("pre-training", "vpbsd"); not in the key.
    """

    config: Train | Targets | Evaluate | Timing
    parts: dict[Role, tuple[Part, ...]]
    upstream: dict[str, Stage] = field(default_factory=dict)
    seed: int = 0
    label: str = ""

    @property
    def kind(self) -> str:
        """train, targets, evaluate or timing."""
        return self.config.kind

    @property
    def family(self) -> Family:
        """What people call it, and what its slice and cost go by."""
        if isinstance(self.config, Timing):
            return "timing"
        if not isinstance(self.config, Train):
            return "targets" if isinstance(self.config, Targets) else "evaluation"
        if isinstance(self.config.method, PatternsConfig):
            return "pre-training"
        deployed = isinstance(self.config.method.network, LightNet)
        return "student" if deployed else "fine-tuning"

    @cached_property
    def key(self) -> str:
        """SHA-256 over all that can change the result, and nothing that cannot."""
        return digest(
            {
                "config": json.loads(canonical(self.config)),
                "numerics": self._numerics(),
                "upstream": {name: stage.key for name, stage in self.upstream.items()},
                "parts": {role: [p.identity for p in ps] for role, ps in self.parts.items()},
                "seed": self.seed,
            }
        )

    def lineage(self) -> Iterator[Stage]:
        """This stage after all it rests on, each once."""
        seen: set[str] = set()
        yield from self._visit(seen)

    def run(
        self, inputs: Mapping[str, Path], out: Path, resume: Path | None = None
    ) -> Iterator[Step]:
        """Does the work; see `vpbsd.run.run`."""
        from vpbsd.run import run  # a plan names stages without loading what runs them

        return run(self, inputs, out, resume)

    def describe(self) -> dict[str, Any]:
        """The whole stage as plain data: what is stored beside its result and logged."""
        return {
            "key": self.key,
            "label": self.label,
            "kind": self.kind,
            "config": self.config.model_dump(mode="json"),
            "upstream": {name: stage.key for name, stage in self.upstream.items()},
            "volumes": {
                role: [
                    {"name": p.volume.name, "group": p.volume.group, "part": p.identity}
                    for p in parts
                ]
                for role, parts in self.parts.items()
            },
            "seed": self.seed,
        }

    def _visit(self, seen: set[str]) -> Iterator[Stage]:
        if self.key in seen:
            return
        seen.add(self.key)
        for stage in self.upstream.values():
            yield from stage._visit(seen)
        yield self

    def _numerics(self) -> list[int]:
        if isinstance(self.config, Evaluate):
            from vpbsd.metrics import NUMERICS  # metrics' libraries load only where they measure

            return [self.config.numerics, NUMERICS]
        watched = [VALIDATED] if "validation" in self.parts else []
        return [self.config.numerics, *watched]
