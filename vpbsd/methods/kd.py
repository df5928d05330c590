"""Vanilla knowledge distillation: L_sup + w * T^2 KL(p_T || p_S) on softened probabilities.

Hinton et al. 2015, section 2, in the row "KD" of S0's Table 1, which prints no settings: T = 4, as
the common reference code has it, and w = 1. Dense departures from the classification loss: the KL
is a mean over valid voxels, and the teacher says one number for each class but background, the
margin f_k - f_0. It is also the second phase of FitNets' original form, there without the paper's
decaying weight.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from vpbsd.data.patches import Semi
from vpbsd.losses.classes import margins
from vpbsd.losses.distillation import softened_kl
from vpbsd.methods.distilling_configs import KdConfig
from vpbsd.methods.method import Clock
from vpbsd.methods.student import StudentMethod, student_terms, together


@final
class Distillation(StudentMethod[KdConfig]):
    """A student and the teacher's margins (B, K, D, H, W)."""

    def losses(self, batch: Semi, clock: Clock) -> dict[str, Tensor]:
        """Returns `sup` and, with a weight, `kd`."""
        terms, seen = student_terms(self.student, batch, semi=False)
        if self.config.kd.weight:
            pairs = [(margins(s.answer.logits), s.targets.margin, s.valid) for s in seen]
            margin, target, share = together(pairs)
            terms["kd"] = softened_kl(margin, target, self.config.kd.temperature, share)
        return terms

    def weights(self, clock: Clock) -> dict[str, float]:
        """Returns 1 and w."""
        kd = self.config.kd
        return {"sup": 1.0, **({"kd": kd.weight} if kd.weight else {})}
