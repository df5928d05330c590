"""The section of settings for an optimiser and its budget."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from vpbsd.section import Section


class Optim(Section):
    """One optimiser and its budget. The rate falls by one factor per epoch to lr * final_ratio.

    Two stages can share one schedule of `epochs`, the second starting from the first: rate, clock,
    ramps and the order of patches go on as in one stage, and only the optimiser is fresh.
    """

    name: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = Field(gt=0)
    final_ratio: float = Field(0.01, gt=0, le=1)
    weight_decay: float = Field(0.0, ge=0)
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

    @model_validator(mode="after")
    def _span_lies_in_the_schedule(self) -> Optim:
        if not self.span or self.span.stop > self.epochs:
            raise ValueError(
                f"no epochs from {self.from_epoch} to {self.span.stop} in a schedule of "
                f"{self.epochs}: choose from_epoch < until_epoch <= epochs"
            )
        return self
