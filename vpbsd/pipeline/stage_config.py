"""Configs of the kinds of stage: all that changes what one trains, stores or measures."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from vpbsd.config import Data, Grid, Network, Precision, Sampling, TargetField
from vpbsd.methods.configs import MethodConfig
from vpbsd.methods.parameters import RebuiltAt
from vpbsd.optim import Optim
from vpbsd.section import Later, Section


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
        half = self.method.numerics_bf16 if self.precision == "bf16" else 0
        return self.method.numerics + half


class Targets(Section):
    """Computes one field of the frozen teacher's answer to every patch of one role, once."""

    numerics: ClassVar[int] = 1
    kind: Literal["targets"] = "targets"
    says: TargetField
    random_codes: bool = False
    """Whether code words are random rows, drawn from the stage's seed, not the learned ones."""
    turned: Annotated[bool, Later()] = False
    """Whether codes are those of every turn of a patch, not of the still one only."""
    data: Data
    sampling: Sampling | None
    precision: Precision


class Evaluate(Section):
    """Measures a network on whole volumes or regions of them."""

    numerics: ClassVar[int] = 2
    kind: Literal["evaluate"] = "evaluate"
    data: Data
    precision: Precision
    stride: Annotated[Grid | None, Later()] = None
    """From window to window; null: half a patch."""


class Threshold(Section):
    """Measures one grey threshold on whole volumes or regions of them: what networks must beat."""

    numerics: ClassVar[int] = 1
    kind: Literal["threshold"] = "threshold"
    rule: Literal["labels", "otsu"]
    """Chosen on the labelled parts, or on each test part's own histogram, without a label."""
    data: Data


class External(Section):
    """Measures masks that another tool or a person made of the test parts."""

    numerics: ClassVar[int] = 1
    kind: Literal["external"] = "external"
    data: Data
    """A plan counts patches of this size; no number depends on it, but it is in stored keys."""


class Timing(Section):
    """How long a network takes for a block on the machine that is asked first, and its size."""

    numerics: ClassVar[int] = 1
    kind: Literal["timing"] = "timing"
    blocks: ClassVar[int] = 100
    """Blocks that are averaged over, as in the paper."""
    network: Network = Field(discriminator="name")
    patch: Grid
    precision: Precision


class Examine(Section):
    """Asks what a fine-tuned teacher's code words carry, on its own training patches.

    Upstream `teacher`; and `pretrained`, if it was, whose reconstruction is measured too.
    """

    kind: Literal["examine"] = "examine"
    rebuilt_at: RebuiltAt = 1
    """What the pre-trained teacher rebuilds: the image, or its half resolution."""
    data: Data
    precision: Precision

    @property
    def numerics(self) -> int:
        """Raised where there are several classes, one of which is now decided for as in a mask."""
        return 2 if self.data.classes > 2 else 1


AnyConfig = Train | Targets | Evaluate | Threshold | External | Timing | Examine
StageConfig = Annotated[AnyConfig, Field(discriminator="kind")]
