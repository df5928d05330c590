"""Configs of the methods, as one type: the teacher's, the supervised and semi-supervised ones.

What a config holds goes into the key of its stage, so a plan reads this file and no torch: the
methods lie beside it, one file each, and `roster.build_method` makes them of these. Those that
learn from a teacher have theirs in `distilling_configs`, other pre-trainings in
`pretraining_configs`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from vpbsd.config import Codebook, MethodSection, Network, StudentSection, Supervision, SwinNet
from vpbsd.methods.distilling_configs import (
    AbConfig,
    FitNetsConfig,
    HintsConfig,
    KdConfig,
    VidConfig,
    VpbSDConfig,
)
from vpbsd.methods.parameters import (
    Alpha,
    Certain,
    CodesAlone,
    ConsistencyWeight,
    Decay,
    Noise,
    Passes,
    RampShare,
    RebuiltAt,
    Reconstruction,
    SkipDrop,
)
from vpbsd.methods.pretraining_configs import (
    ChaitanyaConfig,
    ComparativeConfig,
    ContrastiveConfig,
    PretrainingSection,
    S2dcConfig,
)
from vpbsd.methods.rival_configs import CpsConfig, DicoConfig, McscConfig, SimCVDConfig
from vpbsd.section import Later


class PatternsConfig(PretrainingSection):
    """VpbSD's first stage: the teacher with its codebook, and the weights of pre-training."""

    numerics: ClassVar[int] = 2
    name: Literal["patterns"] = "patterns"
    network: SwinNet
    alpha: Alpha = 0.1
    reconstruction: Reconstruction = "mse"
    skip_drop: SkipDrop = 0.5
    rebuilt_at: RebuiltAt = 1

    def warm_steps(self, total: int) -> int:
        """Returns how many of `total` steps run without quantisation; at least one."""
        return max(1, round(self.book.warm * total))

    @property
    def book(self) -> Codebook:
        """The codebook, which this method cannot do without."""
        if self.network.codebook is None:
            raise ValueError("pre-training with patterns needs a network with a codebook")
        return self.network.codebook


class SupervisedConfig(MethodSection):
    """A network trained on labels alone, and which of its parts stay as they are."""

    numerics: ClassVar[int] = 1
    name: Literal["supervised"] = "supervised"
    network: Network = Field(discriminator="name")
    frozen: tuple[str, ...] = ()
    """Prefixes of parameters that are not trained (the teacher's codebook and alignment)."""
    starts_codebook: bool = False
    """Whether k-means starts the codebook at the end, for a teacher without pre-training."""
    skip_drop: Annotated[CodesAlone, Later()] = 0.0
    """Only a teacher has such skips."""


class SemiConfig(StudentSection):
    """A student, how labels supervise it, and the weight of what unlabelled patches teach."""

    sup: Supervision = "dice_ce"
    weight: ConsistencyWeight = 0.1
    ramp_share: RampShare = 1.0

    @property
    def draws_unlabelled(self) -> bool:
        """True with a weight; the teacher is asked nothing about those patches."""
        return self.weight > 0


class MeanTeacherConfig(SemiConfig):
    """Mean Teacher: the moving average and the noise it sees."""

    numerics: ClassVar[int] = 1
    name: Literal["mt"] = "mt"
    decay: Decay = 0.99
    noise: Noise = 0.1


class UncertainTeacherConfig(SemiConfig):
    """UA-MT: the average, its noise, and what counts as certain."""

    numerics: ClassVar[int] = 1
    name: Literal["uamt"] = "uamt"
    decay: Decay = 0.99
    noise: Noise = 0.1
    passes: Passes = 8
    certain: Certain = 0.75


class EntropyConfig(SemiConfig):
    """Entropy minimisation: the shared settings are all there are."""

    numerics: ClassVar[int] = 1
    name: Literal["me"] = "me"


MethodConfig = (
    PatternsConfig
    | S2dcConfig
    | ComparativeConfig
    | ContrastiveConfig
    | ChaitanyaConfig
    | SupervisedConfig
    | VpbSDConfig
    | FitNetsConfig
    | MeanTeacherConfig
    | UncertainTeacherConfig
    | EntropyConfig
    | CpsConfig
    | SimCVDConfig
    | McscConfig
    | DicoConfig
    | HintsConfig
    | KdConfig
    | VidConfig
    | AbConfig
)
