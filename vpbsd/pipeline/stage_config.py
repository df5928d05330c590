"""Configs of the four kinds of stage: all that changes what one trains, stores or measures."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from vpbsd.config import Data, Grid, Network, Optim, Precision, Sampling, TargetField
from vpbsd.methods.configs import MethodConfig
from vpbsd.section import Section


class Train(Section):
    """Trains a method; upstream `start` gives its first weights, the others its targets."""

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
    """Computes one field of the frozen teacher's answer to every patch of one role, once."""

    numerics: ClassVar[int] = 1
    kind: Literal["targets"] = "targets"
    says: TargetField
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
    blocks: ClassVar[int] = 100
    """Blocks that are averaged over, as in the paper."""
    network: Network = Field(discriminator="name")
    patch: Grid
    precision: Precision


StageConfig = Annotated[Train | Targets | Evaluate | Timing, Field(discriminator="kind")]
