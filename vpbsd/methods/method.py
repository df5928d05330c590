"""The one abstraction: a method is some networks and some named losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from torch import Tensor, nn

from vpbsd.data.patches import Pool
from vpbsd.evaluation.codebook_health import StageSummary

Batch = TypeVar("Batch")


class Clock(NamedTuple):
    """Where training stands; ramps, temperatures and warm-ups are pure functions of it."""

    step: int
    steps_per_epoch: int
    total_steps: int

    @property
    def epoch(self) -> float:
        """Epochs done, with fractions."""
        return self.step / self.steps_per_epoch


class Method(nn.Module, ABC, Generic[Batch]):
    """Some networks and some named losses. The loop, the optimiser and the search know no more.

    A trained parameter is a registered one that requires a gradient; roles such as frozen or
    averaged are wrappers (`vpbsd.networks.roles`). Concrete methods are final.
    """

    draws: ClassVar[Callable[[Pool, int], Any]]
    """The function of `vpbsd.data.patches` whose batches this method eats."""

    spans: ClassVar[bool] = False
    """Whether several processes may train it together, each on a part of the batch."""

    @property
    @abstractmethod
    def deliverable(self) -> nn.Module:
        """What is evaluated, saved and handed to the next stage."""

    @abstractmethod
    def losses(self, batch: Batch, clock: Clock) -> dict[str, Tensor]:
        """Returns unweighted scalar terms by name; a term whose weight is 0 may be left out."""

    @abstractmethod
    def weights(self, clock: Clock) -> dict[str, float]:
        """Returns one weight per loss that `losses` returns at this clock."""

    def after_step(self, clock: Clock) -> None:  # noqa: B027 (nothing to do by default)
        """Runs after each optimiser step: moving averages, k-means start."""

    def readings(self, clock: Clock) -> dict[str, float]:
        """Scalars for the log at the end of an epoch, read from state; none by default."""
        return {}

    def examine(self, pool: Pool) -> StageSummary:
        """Looks at the trained method: numbers, pictures, and whether it is void."""
        return StageSummary()
