"""The section of settings for an optimiser and its budget."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vpbsd.section import Later, Section


class Optim(Section):
    """One optimiser and its budget. The rate falls by one factor per epoch to lr * final_ratio.

    Two stages can share one schedule of `epochs`, the second starting from the first: rate, clock,
    ramps and the order of patches go on as in one stage, and only the optimiser is fresh.
    """

    name: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = Field(gt=0)
    final_ratio: float = Field(0.01, gt=0, le=1)
    weight_decay: float = Field(0.0, ge=0)
    momentum: Annotated[float, Later(), Field(ge=0, lt=1)] = 0.0
    """Of SGD."""
    plateaus: Annotated[int | None, Later(), Field(ge=2)] = None
    """Number of steps of equal length that the rate falls in, the last one at lr * final_ratio;
    null: it falls with every epoch."""
    clip: float | None = Field(None, gt=0)
    """Largest norm of the gradient; null: not clipped."""
    lr_of: dict[str, float] = {}
    """Learning rates of their own for parameters whose name starts with the given prefix."""
    epochs: int = Field(ge=1)
    """Of the whole schedule."""
    from_epoch: int = Field(0, ge=0)
    """Epochs of the schedule that an earlier stage has done."""
    until_epoch: int | None = Field(None, ge=1)
    """Epochs after which a later stage takes over; null: the last one."""
    steps_per_epoch: int | None = Field(None, ge=1)
    """null: as many as one pass over the patches takes."""
    batch: int = Field(2, ge=1)

    @property
    def span(self) -> range:
        """The epochs of the schedule that this stage trains."""
        return range(self.from_epoch, self.until_epoch or self.epochs)

    def curve(self, epoch: int) -> tuple[int, int]:
        """Returns how far the rate has fallen in an epoch, of how much: epochs, or plateaus.

        >>> drop = Optim(lr=1, epochs=40, final_ratio=0.1, plateaus=2)
        >>> [drop.curve(epoch) for epoch in (0, 19, 20, 39)]
        [(0, 1), (0, 1), (1, 1), (1, 1)]
        """
        if self.plateaus is None:
            return epoch, self.epochs
        return epoch * self.plateaus // self.epochs, self.plateaus - 1

    @model_validator(mode="after")
    def _momentum_is_of_sgd(self) -> Optim:
        if self.momentum and self.name != "sgd":
            raise ValueError(f"momentum is of sgd, and the optimiser is {self.name}")
        return self

    @model_validator(mode="after")
    def _span_lies_in_the_schedule(self) -> Optim:
        if not self.span or self.span.stop > self.epochs:
            raise ValueError(
                f"no epochs from {self.from_epoch} to {self.span.stop} in a schedule of "
                f"{self.epochs}: choose from_epoch < until_epoch <= epochs"
            )
        return self
