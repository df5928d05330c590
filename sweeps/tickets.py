"""Tickets: a stage as the cluster passes it around, without the science behind it.

Trials and the conductor hand tickets on and never open them, so neither imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cloudpickle


class Progress(Protocol):
    """What a stage yields: rows so far, the share done, and how to save a checkpoint."""

    @property
    def rows(self) -> list[dict[str, float | str]]:
        """All rows so far."""

    @property
    def share(self) -> float:
        """Of the stage, in [0, 1]."""

    @property
    def save(self) -> Callable[[Path], None]:
        """Writes a checkpoint from which the stage goes on exactly here."""


class Runnable(Protocol):
    """What a ticket seals: a `vpbsd.stages.Stage`, or a toy in a test."""

    @property
    def key(self) -> str:
        """Of its result in the store."""

    @property
    def family(self) -> str:
        """Picks the slice."""

    @property
    def label(self) -> str:
        """For people."""

    @property
    def upstream(self) -> Mapping[str, Runnable]:
        """Input name -> the stage whose result it is."""

    def run(
        self, inputs: Mapping[str, Path], out: Path, resume: Path | None
    ) -> Iterator[Progress]:
        """Leaves the result in `out`; goes on from a checkpoint if there is one."""


@dataclass(frozen=True)
class Ticket:
    """One stage to be run.

    Attributes:
        key: The stage's key in the store.
        family: pre-training, fine-tuning, targets, student or evaluation: picks the slice.
        label: For people.
        upstream: Input name -> key.
        sealed: The stage itself, opened only where it is run.
    """

    key: str
    family: str
    label: str
    upstream: Mapping[str, str]
    sealed: bytes


@dataclass(frozen=True)
class Order:
    """A trial: the tickets it needs, in the order they can be run; the last one is its result.

    Attributes:
        rank: Its place among the trials; the lower is the more urgent.
    """

    trial: str
    tickets: tuple[Ticket, ...]
    rank: int = 0


def ticket(stage: Runnable) -> Ticket:
    """Seals a stage."""
    upstream = {name: above.key for name, above in stage.upstream.items()}
    return Ticket(stage.key, stage.family, stage.label, upstream, cloudpickle.dumps(stage))
