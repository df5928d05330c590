"""Configs of rival semi-supervised methods, a section of settings and a config each; no torch."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field

from vpbsd.config import LightNet, MethodSection, StudentSection, Supervision, SwinNet, VNet
from vpbsd.methods.parameters import Decay, Noise, RampShare
from vpbsd.search_ranges import Choice, Range, Searched
from vpbsd.section import Section


class RivalSection(Section):
    """Settings of a rival, some of which mean nothing beside others."""

    @property
    def unused(self) -> set[str]:
        """Those: in keys they stand at their defaults, or they would train things anew."""
        return set()

    def in_use(self) -> Self:
        """Returns the same with what is unused at its default."""
        defaults = {name: type(self).model_fields[name].default for name in self.unused}
        return self.model_copy(update=defaults)


class Cps(RivalSection):
    """How much two students count that learn from each other (Chen et al. 2021)."""

    weight: Annotated[float, Field(ge=0), Searched(Range(0.01, 10, log=True))] = 0.1
    """lambda: largest weight of the cross terms; 0 leaves them and unlabelled patches out."""
    ramp_share: RampShare = 1.0

    @property
    def unused(self) -> set[str]:
        """The ramp of a weight that is 0."""
        return set() if self.weight else {"ramp_share"}


class CpsConfig(StudentSection):
    """Cross pseudo supervision: both students have the network, and how labels supervise them."""

    numerics: ClassVar[int] = 1
    name: Literal["cps"] = "cps"
    sup: Supervision = "dice_ce"
    cps: Cps = Cps()

    @property
    def draws_unlabelled(self) -> bool:
        """True with a weight; the teacher is asked nothing about those patches."""
        return self.cps.weight > 0


DROPOUT = ("views", "dropout")
"""Where views are painted over instead, the chance of dropout means nothing."""


class SimCVD(RivalSection):
    """The terms of SimCVD and what its views are (You et al. 2022, section IV-B)."""

    sdm: bool = True
    """Whether signed distance maps are guessed and contrasted; if not, probabilities are."""
    alpha: Annotated[float, Field(ge=0)] = 0.1
    """alpha of eq. 1: weight of the signed distance loss on labels."""
    contrast: Annotated[float, Field(ge=0), Searched(Range(0.05, 2, log=True))] = 0.5
    """lambda of eq. 6: largest weight of the contrast of slices; 0 leaves it out, as below."""
    pairwise: Annotated[float, Field(ge=0), Searched(Range(0.01, 1, log=True))] = 0.1
    """beta of eq. 6: of pairwise distillation."""
    consistency: Annotated[float, Field(ge=0), Searched(Range(0.01, 1, log=True))] = 0.1
    """gamma of eq. 6: of consistency."""
    ramp_share: RampShare = 1.0
    """Share of all steps over which those three rise together."""
    temperature: Annotated[float, Field(gt=0), Searched(Choice((0.1, 0.2, 0.5, 1.0)))] = 0.5
    """tau of eq. 2."""
    views: Literal["dropout", "inpainting"] = "dropout"
    """What tells the two views of a slice apart: dropout in the head, or boxes painted over."""
    dropout: Annotated[
        float, Field(ge=0, lt=1), Searched(Choice((0.0, 0.05, 0.1, 0.2)), DROPOUT)
    ] = 0.1
    """p of the alpha dropout on slices."""
    pool: Annotated[int, Field(ge=1), Searched(Choice((16, 32, 64)))] = 64
    """Side that slices are pooled to; the paper's 128 is more than a slice has here."""
    pooling: Literal["average", "max"] = "average"
    slices: Annotated[int, Field(ge=2), Searched(Choice((16, 32, 64)))] = 32
    """B of eq. 2: slices of a step that are contrasted, of all unlabelled ones."""
    decay: Annotated[Decay, Searched(Choice((0.99, 0.999)))] = 0.999
    noise: Noise = 0.1
    """On what both networks see, each with its own."""
    clip: int = Field(10, ge=2)
    """Voxels beyond which all is equally far from the boundary."""

    @property
    def weights(self) -> dict[str, float]:
        """Largest weights of the three terms on unlabelled patches, of those that are not 0."""
        named = {"contrast": self.contrast, "pairwise": self.pairwise, "cons": self.consistency}
        return {name: weight for name, weight in named.items() if weight}

    @property
    def unused(self) -> set[str]:
        """What only slices, maps or unlabelled patches use; dropout without its view."""
        found = {"dropout"} if self.views == "inpainting" else set()
        if not self.contrast:
            found |= {"temperature", "dropout", "pool", "pooling", "slices"}
        if not (self.sdm and self.alpha):
            found |= {"clip"}
        if not self.sdm:
            found |= {"alpha"}
        if not self.weights:
            found |= {"ramp_share", "noise", "decay", "views"}
        return found

    @property
    def needs_distances(self) -> bool:
        """Whether any term makes use of a guessed distance map."""
        return self.sdm and bool(self.alpha or self.contrast or self.consistency)


class SimCVDConfig(MethodSection):
    """SimCVD: the student, a Light UNet or the paper's V-Net, and its terms."""

    name: Literal["simcvd"] = "simcvd"
    network: LightNet | VNet = Field(LightNet(), discriminator="name")
    sup: Supervision = "dice_ce"
    simcvd: SimCVD = SimCVD()

    @property
    def numerics(self) -> int:  # type: ignore[override]
        """Raised for what changed alone: boxes up to the border, consistency of the background."""
        painted = bool(self.simcvd.weights) and self.simcvd.views == "inpainting"
        several = self.network.classes > 2 and self.simcvd.consistency > 0
        return 2 if painted or several else 1

    @property
    def draws_unlabelled(self) -> bool:
        """True with a weight; no teacher but its own is asked about those patches."""
        return bool(self.simcvd.weights)


class Mcsc(RivalSection):
    """The terms of MCSC and which voxels it contrasts (Liu et al. 2023, and its code)."""

    cps: Annotated[float, Field(ge=0), Searched(Choice((0.1, 0.3, 1.0)))] = 0.1
    """w_cps: largest weight of the other network's labels; 0 leaves the term out."""
    ramp_share: RampShare = 1.0
    contrast: Annotated[float, Field(ge=0), Searched(Range(1e-4, 0.1, log=True))] = 1e-3
    """w_cl: weight of the contrast at each scale; 0 leaves it out."""
    temperature: Annotated[float, Field(gt=0), Searched(Choice((0.05, 0.1, 0.2, 0.5)))] = 0.1
    """tau of L_bcl."""
    start_share: Annotated[float, Field(ge=0, le=1), Searched(Choice((0.0, 0.075, 0.2)))] = 0.075
    """Share of all steps after which unlabelled patches are contrasted too."""
    scales: tuple[Literal[2, 4, 8], ...] = Field((2, 8), min_length=1)
    """Decoder features that are contrasted, by the side in voxels that one of their voxels has."""
    anchors: Literal["foreground", "all"] = "foreground"
    """all: background voxels are anchors too, not only company of others."""
    labels: Literal["cross", "own"] = "cross"
    """Whose labels tell its voxels apart on unlabelled patches: the other network's or its own."""
    balanced: bool = True
    """Whether classes weigh the same in the denominator, however frequent they are."""
    groups: int = Field(8, ge=1)
    """Blocks of each patch in a step, so groups of blocks, at most."""
    voxels: int = Field(1024, ge=4)
    """Of a group, at most; half of them foreground where there are as many."""

    @property
    def unused(self) -> set[str]:
        """What only the contrast uses, and the ramp of a weight that is 0."""
        own = {"temperature", "start_share", "scales", "anchors", "labels", "balanced"}
        ramp = set() if self.cps else {"ramp_share"}
        return ramp if self.contrast else ramp | own | {"groups", "voxels"}

    @property
    def contrasted(self) -> tuple[Literal[2, 4, 8], ...]:
        """The scales, with a weight."""
        return self.scales if self.contrast else ()


class WithTransformer(StudentSection):
    """A student that is trained beside a transformer, which is dropped afterwards."""

    sup: Supervision = "dice_ce"
    transformer: SwinNet = SwinNet(feature_size=12)
    """Trained from scratch; recipes give it the depths of the teacher."""
    transformer_lr: Annotated[float, Field(gt=0)] = 1e-3

    @property
    def lr_of(self) -> dict[str, float]:
        """The rate of the transformer, which the student's would be too much for."""
        return {"transformer": self.transformer_lr}


class McscConfig(WithTransformer):
    """MCSC: the student, the transformer beside it, and what they learn of each other."""

    numerics: ClassVar[int] = 2
    name: Literal["mcsc"] = "mcsc"
    mcsc: Mcsc = Mcsc()

    @property
    def draws_unlabelled(self) -> bool:
        """True with a weight; no teacher is asked about those patches."""
        return self.mcsc.cps > 0 or self.mcsc.contrast > 0


class Dico(RivalSection):
    """How much the two networks of DiCo teach each other, and its discriminator (Xu et al.)."""

    weight: Annotated[float, Field(ge=0), Searched(Range(0.1, 10, log=True))] = 1.0
    """Of the term on unlabelled patches, constant as in its code; 0 leaves it out."""
    adversarial: Annotated[float, Field(ge=0), Searched(Range(0.01, 1, log=True))] = 0.2
    """Of the term that is to deceive the discriminator; 0 leaves both out."""
    discriminator_lr: Annotated[float, Field(gt=0)] = 1e-4

    @property
    def unused(self) -> set[str]:
        """The rate of a discriminator that is not there."""
        return set() if self.adversarial else {"discriminator_lr"}


class DicoConfig(WithTransformer):
    """DiCo: the student, the transformer that it changes roles with, and a discriminator."""

    numerics: ClassVar[int] = 1
    name: Literal["dico"] = "dico"
    dico: Dico = Dico()

    @property
    def draws_unlabelled(self) -> bool:
        """True with a weight; no teacher is asked about those patches."""
        return self.dico.weight > 0 or self.dico.adversarial > 0

    @property
    def lr_of(self) -> dict[str, float]:
        """Rates of the transformer and of the discriminator."""
        return {**super().lr_of, "discriminator": self.dico.discriminator_lr}
