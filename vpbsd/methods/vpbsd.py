"""VpbSD's third stage: the student learns from labels, pseudo-labels and code words (S0 3.5).

L_stu = L_seg + beta(t) * L_semi + gamma * L_dis (eq. 10-12). The teacher has spoken once, before:
pseudo-labels and code words come with the batch, so no teacher is loaded here. Two departures are
arms of their own: soft pseudo-labels, and L_seg as (1 - a) * Dice + a * soft-clDice.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from vpbsd.data.patches import Semi
from vpbsd.losses.centreline import cldice_loss
from vpbsd.methods.distilling_configs import VpbSDConfig
from vpbsd.methods.method import Clock
from vpbsd.methods.student import StudentMethod, deepest_l1, student_terms, student_weights


@final
class VpbSD(StudentMethod[VpbSDConfig]):
    """A student and three losses."""

    def losses(self, batch: Semi, clock: Clock) -> dict[str, Tensor]:
        """Returns the Dice losses `sup` and `semi`, and `dis`, the mean |Z_S - q_T|."""
        terms, seen = student_terms(self.student, batch, semi=self.config.beta > 0)
        if self.config.cldice:
            label, valid = batch.labelled.label, batch.labelled.valid
            rounds = self.config.cldice_iterations
            terms["cldice"] = cldice_loss(seen[0].vessel, label, valid, rounds)
        if self.config.gamma:
            pairs = [(s.beside(s.targets.codes), s.targets.codes, s.valid) for s in seen]
            terms["dis"] = deepest_l1(pairs)
        return terms

    def weights(self, clock: Clock) -> dict[str, float]:
        """Returns 1 (shared with `cldice`, if there), beta(t) and gamma."""
        weights = student_weights(clock, self.config.beta, self.config.ramp_epochs)
        if self.config.cldice:
            weights |= {"sup": 1 - self.config.cldice, "cldice": self.config.cldice}
        return {**weights, "dis": self.config.gamma} if self.config.gamma else weights
