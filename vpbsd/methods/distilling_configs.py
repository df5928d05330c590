"""Configs of the methods that learn from a teacher: VpbSD and the older ones; no torch here."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from vpbsd.config import StudentSection, TargetField, TargetOf
from vpbsd.methods.parameters import (
    Beta,
    ClDice,
    ClDiceIterations,
    DistilOn,
    Gamma,
    Mid,
    On,
    OthersOn,
    Pseudo,
    RampEpochs,
)
from vpbsd.search_ranges import Choice, Range, Searched
from vpbsd.section import Section


def targets_on(field: TargetField, on: On) -> tuple[TargetOf, ...]:
    """Lists one field of a teacher's targets, for the labelled patches or for both kinds.

    >>> targets_on("margin", "both")
    (('margin', 'labelled'), ('margin', 'unlabelled'))
    """
    labelled: TargetOf = (field, "labelled")
    return (labelled, (field, "unlabelled")) if on == "both" else (labelled,)


class VpbSDConfig(StudentSection):
    """VpbSD's third stage: weights of its two extra terms, and where they come from."""

    numerics: ClassVar[int] = 1
    name: Literal["vpbsd"] = "vpbsd"
    beta: Beta = 1.0
    ramp_epochs: RampEpochs = 80
    gamma: Gamma = 1.0
    distil_on: DistilOn = "both"
    pseudo: Pseudo = "hard"
    cldice: ClDice = 0.0
    cldice_iterations: ClDiceIterations = 10

    @property
    def needs_targets(self) -> tuple[TargetOf, ...]:
        """What the teacher must provide; only what a weight makes use of."""
        pseudo: TargetOf = ("pseudo" if self.pseudo == "hard" else "margin", "unlabelled")
        codes = targets_on("codes", self.distil_on) if self.gamma else ()
        return (pseudo, *codes) if self.beta else codes


class FitNetsConfig(StudentSection):
    """FitNets in one phase: weights, the teacher's width, and the patches of the hint."""

    numerics: ClassVar[int] = 1
    name: Literal["fitnets"] = "fitnets"
    teacher_width: int = Field(768, ge=1)
    """Channels d_t of the teacher's deepest state: 16 * feature_size."""
    beta: Beta = 0.0
    ramp_epochs: RampEpochs = 80
    gamma: Mid = 1.0
    """Weight of L_mid; the stored name is that of VpbSD's weight of L_dis."""
    distil_on: OthersOn = "labelled"

    @property
    def needs_targets(self) -> tuple[TargetOf, ...]:
        """The teacher's deepest states and, with beta, pseudo-labels."""
        features = targets_on("features", self.distil_on)
        pseudo: TargetOf = ("pseudo", "unlabelled")
        return (*features, pseudo) if self.beta else features


class HintsConfig(StudentSection):
    """First phase of FitNets' original form: the teacher's width, the patches of the hint."""

    numerics: ClassVar[int] = 1
    name: Literal["hints"] = "hints"
    teacher_width: int = Field(768, ge=1)
    distil_on: OthersOn = "labelled"

    @property
    def needs_targets(self) -> tuple[TargetOf, ...]:
        """The teacher's deepest states."""
        return targets_on("features", self.distil_on)


class Kd(Section):
    """How much the teacher's probabilities count, and how soft they are (Hinton et al. 2015)."""

    temperature: Annotated[float, Field(gt=0), Searched(Choice((1.0, 2.0, 4.0, 8.0)))] = 4.0
    """T that both sides' logits are divided by."""
    weight: Annotated[float, Field(ge=0), Searched(Range(0.1, 10, log=True))] = 1.0
    """0 leaves the term and the margins out."""


class KdConfig(StudentSection):
    """Vanilla distillation: the student, the term, and the patches it is taken over."""

    numerics: ClassVar[int] = 1
    name: Literal["kd"] = "kd"
    kd: Kd = Kd()
    distil_on: OthersOn = "labelled"

    @property
    def needs_targets(self) -> tuple[TargetOf, ...]:
        """The teacher's margins, with a weight."""
        return targets_on("margin", self.distil_on) if self.kd.weight else ()


class Vid(Section):
    """How much the prediction of the teacher counts, and what predicts it (Ahn et al. 2019)."""

    weight: Annotated[float, Field(ge=0), Searched(Range(0.01, 10, log=True))] = 1.0
    """0 leaves the term, its head and the features out."""
    hidden: Annotated[int, Field(ge=1), Searched(Choice((192, 384, 768)))] = 384
    """Channels inside the head."""
    variance: float = Field(5.0, gt=1e-3)
    """Of every channel at the start."""


class VidConfig(StudentSection):
    """VID: the student, the term, the teacher's width, the patches the term is taken over."""

    numerics: ClassVar[int] = 1
    name: Literal["vid"] = "vid"
    teacher_width: int = Field(768, ge=1)
    vid: Vid = Vid()
    distil_on: OthersOn = "labelled"

    @property
    def needs_targets(self) -> tuple[TargetOf, ...]:
        """The teacher's deepest states, with a weight."""
        return targets_on("features", self.distil_on) if self.vid.weight else ()


class Ab(Section):
    """How much the boundaries of two layers count, and how far is far enough (Heo et al. 2019)."""

    margin: Annotated[float, Field(gt=0), Searched(Choice((0.5, 1.0, 2.0)))] = 1.0
    """m: distance from a boundary beyond which there is no loss."""
    weight: Annotated[float, Field(gt=0), Searched(Range(1, 100, log=True))] = 10.0
    """Of the deepest layer."""
    factor16: float = Field(0.5, ge=0)
    """Times `weight`: of the layer at 1/16; 0 leaves that layer and its features out."""


class AbConfig(StudentSection):
    """First phase of AB: the student, the term, the teacher's width, the patches of the term."""

    numerics: ClassVar[int] = 1
    name: Literal["ab"] = "ab"
    teacher_width: int = Field(768, ge=2, multiple_of=2)
    ab: Ab = Ab()
    distil_on: OthersOn = "labelled"

    @property
    def needs_targets(self) -> tuple[TargetOf, ...]:
        """The teacher's deepest states and, with a factor, those at 1/16 of the resolution."""
        shallower = targets_on("features16", self.distil_on) if self.ab.factor16 else ()
        return targets_on("features", self.distil_on) + shallower
