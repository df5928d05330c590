"""Configs of the pre-trainings that stand beside VpbSD's: S2DC and the comparisons of slices.

S2 is S2DC (Pan et al. 2025), S4 comparative pre-training (Yildiz 2022); see docs/pretraining.md.
Each has a section of settings, and the config of a method that is derived from it; no torch here.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from vpbsd.config import Data, Grid, MethodSection, SwinNet, UnetrNet
from vpbsd.methods.parameters import (
    EncoderShare,
    GlobalTau,
    Keys,
    Matcher,
    MatchTau,
    Partitions,
    SliceTau,
    TeacherDecay,
    TermWeight,
)
from vpbsd.search_ranges import Range, Searched
from vpbsd.section import Section

Pretext = Literal["patterns", "s2dc", "comparative", "contrastive", "chaitanya"]
"""What a teacher learns from unlabelled patches before it sees a label."""
Rate = Annotated[float, Field(gt=0), Searched(Range(1e-5, 1e-3, log=True))]
WeightDecay = Annotated[float, Field(ge=0)]


class PretrainingSection(MethodSection):
    """Config of a method that pre-trains a teacher on unlabelled patches."""

    piece: ClassVar[Grid] = (1, 1, 1)
    """Patches along z, y and x of what is drawn as one."""

    def drawn(self, data: Data) -> Data:
        """Returns how what it draws is cut: as patches, or as larger pieces."""
        z, y, x = (side * n for side, n in zip(data.patch, self.piece, strict=True))
        return data.model_copy(update={"patch": (z, y, x)})


class SliceTerms(Section):
    """How slices are drawn, and for how long the encoder is trained alone."""

    partitions: Partitions = 4
    encoder_share: EncoderShare = 0.5


class Slices(SliceTerms):
    """Comparative pre-training, and the contrastive one that S4 sets beside it."""

    tau: SliceTau = 1.0
    lr: Rate = 1e-4
    weight_decay: WeightDecay = 0.01
    """The paper names AdamW and its rate alone; this is AdamW's customary one."""


class ComparativeConfig(PretrainingSection, SliceTerms):
    """S4: triplets of slices under the Bradley-Terry model (eq. 2)."""

    numerics: ClassVar[int] = 1
    numerics_bf16: ClassVar[int] = 1
    name: Literal["comparative"] = "comparative"
    network: SwinNet | UnetrNet = Field(discriminator="name")


class ContrastiveConfig(PretrainingSection, SliceTerms):
    """S4's rival: a slice against those of all other slabs (eq. 3)."""

    numerics: ClassVar[int] = 1
    numerics_bf16: ClassVar[int] = 1
    name: Literal["contrastive"] = "contrastive"
    network: SwinNet | UnetrNet = Field(discriminator="name")
    tau: SliceTau = 1.0


class ChaitanyaTerms(Section):
    """Slabs, and the projection head."""

    partitions: Partitions = 4
    tau: SliceTau = 0.1
    hidden: int = Field(1024, ge=1)
    """Channels within the projection head."""
    width: int = Field(128, ge=1)
    """Channels that it ends with."""


class Chaitanya(ChaitanyaTerms):
    """Global contrast by slabs as Chaitanya et al. 2020 have it (their G^D)."""

    lr: Rate = 1e-3


class ChaitanyaConfig(PretrainingSection, ChaitanyaTerms):
    """G^D: the encoder, a projection head, slabs along z."""

    numerics: ClassVar[int] = 1
    numerics_bf16: ClassVar[int] = 1
    name: Literal["chaitanya"] = "chaitanya"
    network: SwinNet
    patch: Grid
    """Of the data; recipes give it."""


class S2dcTerms(Section):
    """Losses and heads of S2DC."""

    global_weight: TermWeight = 1.0
    p2p_weight: TermWeight = 1.0
    p2s_weight: TermWeight = 1.0
    tau: GlobalTau = 0.2
    tau_match: MatchTau = 0.1
    decay: TeacherDecay = 0.999
    keys: Keys = 360
    matcher: Matcher = "dual"
    form: Literal["paper", "code"] = "paper"
    """The losses as printed, or as the authors' code has them."""
    hidden: int = Field(2048, ge=1)
    """Channels within the two heads."""
    width: int = Field(512, ge=1)
    """Channels that they end with."""


class S2dc(S2dcTerms):
    """S2DC: consistency of crops, of their patches, and of structures."""

    lr: Rate = 3e-4
    weight_decay: WeightDecay = 0.1


class S2dcConfig(PretrainingSection, S2dcTerms):
    """S2: a region of 2 x 2 patches in y and x, seen twice, once moved by a known affine map."""

    numerics: ClassVar[int] = 2
    piece: ClassVar[Grid] = (1, 2, 2)
    name: Literal["s2dc"] = "s2dc"
    network: SwinNet

    @property
    def matches(self) -> bool:
        """True if tokens of the two views are matched at all."""
        return self.p2p_weight > 0 or self.p2s_weight > 0
