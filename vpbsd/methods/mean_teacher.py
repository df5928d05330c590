"""Mean Teacher: L = L_sup + w(t) * L_u, L_u = mean (p_S(x_u) - p_EMA(x_u + noise))^2.

Tarvainen and Valpola 2017, as UA-MT's authors and SSL4MIS use it on volumes: L_sup = half cross
entropy, half Dice; w = .1 * ramp over the whole run; decay min(1 - 1/(t + 1), .99). Departures:
the noise is in deviations of the patch, since intensities here lie in [0, 1]; Adam with the
students' decaying rate instead of SGD. Answers are (B, K, D, H, W).
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from vpbsd.data.patches import Semi
from vpbsd.losses.agreement import consistency_loss
from vpbsd.losses.segmentation import vessel_probability
from vpbsd.methods.configs import MeanTeacherConfig
from vpbsd.methods.method import Clock
from vpbsd.methods.semi import perturbed, semi_weights, supervised_terms
from vpbsd.methods.student import StudentMethod
from vpbsd.networks.roles import Ema
from vpbsd.random_streams import generator


@final
class MeanTeacher(StudentMethod[MeanTeacherConfig]):
    """A student and the moving average of it."""

    def __init__(self, config: MeanTeacherConfig, seed: int) -> None:
        super().__init__(config, seed)
        self.mean = Ema(self.student, config.decay)

    def losses(self, batch: Semi, clock: Clock) -> dict[str, Tensor]:
        """Returns `sup` on labels and, with a weight, `cons` over valid unlabelled voxels."""
        terms, guess = supervised_terms(self.student, self.config, batch)
        if guess is None:
            return terms
        stream = generator(self.seed, "noise", clock.step)
        target = self.mean(perturbed(guess.image, self.config.noise, stream)).logits
        cons = consistency_loss(guess.vessel, vessel_probability(target), guess.valid)
        return {**terms, "cons": cons}

    def weights(self, clock: Clock) -> dict[str, float]:
        """Returns 1 and w(t)."""
        return semi_weights(clock, self.config, "cons")

    def after_step(self, clock: Clock) -> None:
        """Moves the average; the first step makes it a copy of the student."""
        self.mean.update(self.student, clock.step)
