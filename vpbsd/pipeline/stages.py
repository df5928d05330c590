"""Stages: what is to be done with which volumes, by what upstream, under which key.

A `StageSpec` knows its upstream stages by their keys: it is what travels to workers, lies beside
a result as `stage.json`, and can be run. A `Stage` holds its upstream stages themselves: it is
what recipes build and plans walk.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal

from pydantic import TypeAdapter, ValidationError

from vpbsd.config import LightNet
from vpbsd.data.folds import Part
from vpbsd.data.volumes import VolumeInfo
from vpbsd.errors import BadInput
from vpbsd.evaluation.numerics import METRICS, VALIDATION
from vpbsd.methods.pretraining_configs import PretrainingSection
from vpbsd.pipeline.stage_config import (
    AnyConfig,
    Evaluate,
    Examine,
    External,
    StageConfig,
    Targets,
    Threshold,
    Timing,
    Train,
)
from vpbsd.section import canonical, digest

Role = Literal["labelled", "unlabelled", "test", "validation", "masks"]
Family = Literal[
    "pre-training", "fine-tuning", "targets", "student", "evaluation", "timing", "examination"
]
Parts = Mapping[Role, tuple[Part, ...]]


@dataclass(frozen=True)
class StageSpec:
    """One unit of work whose result is stored under its key.

    Attributes:
        config: Everything that changes the result.
        parts: Role -> the parts of volumes it reads.
        upstream: Input name -> key of the stage whose result it is.
        seed: Of every random stream in it.
        label: For people ("pre-training", "vpbsd"); not in the key.
    """

    config: AnyConfig
    parts: Parts
    upstream: Mapping[str, str]
    seed: int = 0
    label: str = ""

    @cached_property
    def key(self) -> str:
        """SHA-256 over all that can change the result, and nothing that cannot."""
        return digest(
            {
                "config": json.loads(canonical(self.config)),
                "numerics": self._numerics(),
                "upstream": dict(self.upstream),
                "parts": {role: [p.identity for p in ps] for role, ps in self.parts.items()},
                "seed": self.seed,
            }
        )

    @property
    def family(self) -> Family:
        """What people call it, and what its slice and cost go by."""
        if isinstance(self.config, Timing):
            return "timing"
        if isinstance(self.config, Examine):
            return "examination"
        if not isinstance(self.config, Train):
            return "targets" if isinstance(self.config, Targets) else "evaluation"
        if isinstance(self.config.method, PretrainingSection):
            return "pre-training"
        deployed = isinstance(self.config.method.network, LightNet)
        return "student" if deployed else "fine-tuning"

    def describe(self) -> dict[str, Any]:
        """Gives the whole stage as plain data, of which `read` makes it again."""
        return {
            "key": self.key,
            "label": self.label,
            "kind": self.config.kind,
            "config": self.config.model_dump(mode="json"),
            "upstream": dict(self.upstream),
            "volumes": {
                role: [
                    asdict(part.volume) | {"part": part.identity, "box": part.box}
                    for part in parts
                ]
                for role, parts in self.parts.items()
            },
            "seed": self.seed,
        }

    @classmethod
    def read(cls, text: str) -> StageSpec:
        """Makes a stage of the JSON text of `describe`.

        Raises:
            BadInput: It is no such text, or this version of the code gives the stage another key:
                its result would be another one.
        """
        try:
            given = json.loads(text)
            spec = cls(
                config=TypeAdapter(StageConfig).validate_python(given["config"]),
                parts={role: tuple(map(_part, ps)) for role, ps in given["volumes"].items()},
                upstream=given["upstream"],
                seed=given["seed"],
                label=given["label"],
            )
        except (ValueError, LookupError, TypeError, ValidationError) as error:
            why = str(error).splitlines()[0]
            raise BadInput(
                f"this is no stage that this version can run ({why}): give a stage.json of a "
                "result that this version stored"
            ) from error
        if spec.key != given["key"]:
            raise BadInput(
                f"stage {given['key'][:12]} ({spec.label}) was described by another version of "
                f"the code, to which it is another stage ({spec.key[:12]}): run it with the "
                "version that described it"
            )
        return spec

    def _numerics(self) -> list[int]:
        if isinstance(self.config, Evaluate | Threshold | External):
            return [self.config.numerics, METRICS]
        watched = [VALIDATION] if "validation" in self.parts else []
        return [self.config.numerics, *watched]


@dataclass(frozen=True)
class Stage:
    """A stage with the stages that it rests on; see `StageSpec` for the fields."""

    config: AnyConfig
    parts: Parts
    upstream: Mapping[str, Stage] = field(default_factory=dict)
    seed: int = 0
    label: str = ""
    runner: ClassVar[str] = "vpbsd.pipeline.run:run_json"

    @cached_property
    def spec(self) -> StageSpec:
        """The same, its upstream stages known by their keys."""
        upstream = {name: stage.key for name, stage in self.upstream.items()}
        return StageSpec(self.config, self.parts, upstream, self.seed, self.label)

    @property
    def key(self) -> str:
        """Names its result in the store."""
        return self.spec.key

    @property
    def family(self) -> Family:
        """What people call it, and what its slice and cost go by."""
        return self.spec.family

    def describe(self) -> dict[str, Any]:
        """Gives the whole stage as plain data; see `StageSpec.describe`."""
        return self.spec.describe()

    def lineage(self) -> Iterator[Stage]:
        """Yields all the stages it rests on, upstream first, each once; itself at the end."""
        seen: set[str] = set()
        yield from self._visit(seen)

    def _visit(self, seen: set[str]) -> Iterator[Stage]:
        if self.key in seen:
            return
        seen.add(self.key)
        for stage in self.upstream.values():
            yield from stage._visit(seen)
        yield self


_INFO = TypeAdapter(VolumeInfo)


def _part(given: dict[str, Any]) -> Part:
    """Reads a part of a volume from plain data; its tuples came as lists."""
    fields = {name: given[name] for name in VolumeInfo.__dataclass_fields__ if name in given}
    z, y, x = (tuple(side) for side in given["box"])
    return Part(_INFO.validate_python(fields), (z, y, x))
