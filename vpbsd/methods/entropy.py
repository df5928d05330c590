"""Entropy minimisation (ME in S0's Table 1): L = L_sup + w(t) * mean entropy of p_S(x_u) / ln C.

Vu et al. 2019, ADVENT, eq. 2-3: its direct form, MinEnt, not the adversarial one. L_sup and w as
in SSL4MIS (half cross entropy, half Dice; .1 * ramp over the whole run); entropy is taken over
unlabelled patches only, as in ADVENT. One network, no teacher, no noise; answers (B, K, D, H, W).
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from vpbsd.data.patches import Semi
from vpbsd.losses.agreement import entropy_loss
from vpbsd.methods.configs import EntropyConfig
from vpbsd.methods.method import Clock
from vpbsd.methods.semi import semi_weights, supervised_terms
from vpbsd.methods.student import StudentMethod


@final
class Entropy(StudentMethod[EntropyConfig]):
    """A student that is to be sure of itself."""

    def losses(self, batch: Semi, clock: Clock) -> dict[str, Tensor]:
        """Returns `sup` on labels and, with a weight, `entropy` over valid unlabelled voxels."""
        terms, guess = supervised_terms(self.student, self.config, batch)
        if guess is None:
            return terms
        return {**terms, "entropy": entropy_loss(guess.vessel, guess.valid)}

    def weights(self, clock: Clock) -> dict[str, float]:
        """Returns 1 and w(t)."""
        return semi_weights(clock, self.config, "entropy")
