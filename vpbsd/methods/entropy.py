"""Entropy minimisation (ME in S0's Table 1): L = L_sup + w(t) * mean entropy of p_S(x_u) / ln 2.

Vu et al. 2019, ADVENT, eq. 2-3: its direct form, MinEnt, not the adversarial one. L_sup and w as
in SSL4MIS (half cross entropy, half Dice; .1 * ramp over the whole run); entropy is taken over
unlabelled patches only, as in ADVENT. One network, no teacher, no noise; answers (B, 1, D, H, W).
"""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from vpbsd.data.patches import Semi, draw_semi
from vpbsd.losses.agreement import entropy_loss
from vpbsd.losses.segmentation import supervised_loss, vessel_probability
from vpbsd.methods.configs import EntropyConfig
from vpbsd.methods.method import Clock, Method
from vpbsd.methods.semi import semi_weights
from vpbsd.networks.build import build_network


@final
class Entropy(Method[Semi]):
    """A student that is to be sure of itself."""

    draws = draw_semi

    def __init__(self, config: EntropyConfig, seed: int) -> None:
        super().__init__()
        self.config = config
        self.student = build_network(config.network, seed)

    @property
    def deliverable(self) -> nn.Module:
        """The student."""
        return self.student

    def losses(self, batch: Semi, clock: Clock) -> dict[str, Tensor]:
        """`sup` on labels and, with a weight, `entropy` over valid unlabelled voxels."""
        labelled, unlabelled = batch
        logits = self.student(labelled.image).logits
        sup = supervised_loss(self.config.sup, logits, labelled.label, labelled.valid)
        if not self.config.weight:
            return {"sup": sup}
        assert unlabelled is not None, "unlabelled patches come with the batch"
        guess = vessel_probability(self.student(unlabelled.image).logits)
        return {"sup": sup, "entropy": entropy_loss(guess, unlabelled.valid)}

    def weights(self, clock: Clock) -> dict[str, float]:
        """1 and w(t)."""
        return semi_weights(clock, self.config, "entropy")
