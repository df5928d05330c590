"""Tickets: a stage as the cluster passes it around, without the science behind it.

Trials and the conductor hand tickets on and never open them, so neither imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cloudpickle


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
    """A trial: the tickets it needs, in the order they can be run; the last one is its result."""

    trial: str
    tickets: tuple[Ticket, ...]


def ticket(stage: Any) -> Ticket:  # noqa: ANN401 (a Stage, whose module would import torch)
    """Seals a `vpbsd.stages.Stage`."""
    upstream = {name: above.key for name, above in stage.upstream.items()}
    return Ticket(stage.key, stage.family, stage.label, upstream, cloudpickle.dumps(stage))
