"""VpbSD's third stage: the student learns from labels, pseudo-labels and code words (S0 3.5).

L_stu = L_seg + beta(t) * L_semi + gamma * L_dis (eq. 10-12). The teacher has spoken once, before:
pseudo-labels and code words come with the batch, so no teacher is loaded here. Two departures are
arms of their own: soft pseudo-labels, and L_seg as (1 - a) * Dice + a * soft-clDice.
"""

from __future__ import annotations

from typing import ClassVar, Literal, final

from pydantic import Field
from torch import Tensor, nn

from vpbsd.config import LightNet, Section
from vpbsd.data.patches import Semi, draw_semi
from vpbsd.losses.centreline import cldice_loss
from vpbsd.methods.method import Clock, Method
from vpbsd.methods.student import deepest_l1, student_terms, student_weights
from vpbsd.networks.build import build_network


class VpbSDConfig(Section):
    """Weights of the two extra terms, and where they come from."""

    numerics: ClassVar[int] = 1
    name: Literal["vpbsd"] = "vpbsd"
    network: LightNet = LightNet()
    beta: float = Field(1.0, ge=0)
    """Largest weight of L_semi; 0 leaves the term and the pseudo-labels out."""
    ramp_epochs: float = Field(80, ge=0)
    """Epochs of the Gaussian ramp to beta (Temporal Ensembling's warm-up)."""
    gamma: float = Field(1.0, ge=0)
    """Weight of L_dis; 0 leaves the term and the codes out."""
    distil_on: Literal["both", "labelled"] = "both"
    """Patches that L_dis is taken over."""
    pseudo: Literal["hard", "soft"] = "hard"
    """Pseudo-labels: the teacher's mask, or its vessel probability."""
    cldice: float = Field(0.0, ge=0, lt=1)
    """Share a of soft-clDice in the supervised loss; 0 leaves the term out."""
    cldice_iterations: int = Field(10, ge=1)
    """Erosions of its soft skeleton: at least the largest radius in voxels."""

    @property
    def asks(self) -> tuple[tuple[str, str], ...]:
        """What the teacher must say, as (field, role); only what a weight makes use of."""
        field = "pseudo" if self.pseudo == "hard" else "margin"
        asked = [(field, "unlabelled")] if self.beta else []
        if self.gamma:
            asked.append(("codes", "labelled"))
            asked += [("codes", "unlabelled")] if self.distil_on == "both" else []
        return tuple(asked)

    def build(self, seed: int) -> VpbSD:
        """The method with its student initialised from the seed."""
        return VpbSD(self, seed)


@final
class VpbSD(Method[Semi]):
    """A student and three losses."""

    draws = draw_semi

    def __init__(self, config: VpbSDConfig, seed: int) -> None:
        super().__init__()
        self.config = config
        self.student = build_network(config.network, seed)

    @property
    def deliverable(self) -> nn.Module:
        """The student."""
        return self.student

    def losses(self, batch: Semi, clock: Clock) -> dict[str, Tensor]:
        """`sup` and `semi` are Dice losses, `dis` the mean |Z_S - q_T| over valid tokens."""
        terms, seen = student_terms(self.student, batch, semi=self.config.beta > 0)
        if self.config.cldice:
            label, valid = batch.labelled.label, batch.labelled.valid
            rounds = self.config.cldice_iterations
            terms["cldice"] = cldice_loss(seen[0].vessel, label, valid, rounds)
        if self.config.gamma:
            terms["dis"] = deepest_l1([(s.deepest, s.targets.codes, s.valid) for s in seen])
        return terms

    def weights(self, clock: Clock) -> dict[str, float]:
        """1 (shared with `cldice`, if there), beta(t) and gamma."""
        weights = student_weights(clock, self.config.beta, self.config.ramp_epochs)
        if self.config.cldice:
            weights |= {"sup": 1 - self.config.cldice, "cldice": self.config.cldice}
        return {**weights, "dis": self.config.gamma} if self.config.gamma else weights
