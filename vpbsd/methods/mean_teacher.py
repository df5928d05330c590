"""Mean Teacher: L = L_sup + w(t) * L_u, L_u = mean (p_S(x_u) - p_EMA(x_u + noise))^2.

Tarvainen and Valpola 2017, as UA-MT's authors and SSL4MIS use it on volumes: L_sup = half cross
entropy, half Dice; w = .1 * ramp over the whole run; decay min(1 - 1/(t + 1), .99). Departures:
the noise is in deviations of the patch, since intensities here lie in [0, 1]; Adam with the
students' decaying rate instead of SGD. Answers are (B, 1, D, H, W).
"""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from vpbsd.data.patches import Semi, draw_semi
from vpbsd.losses.agreement import consistency_loss
from vpbsd.losses.segmentation import supervised_loss, vessel_probability
from vpbsd.methods.configs import MeanTeacherConfig
from vpbsd.methods.method import Clock, Method
from vpbsd.methods.semi import perturbed, semi_weights
from vpbsd.networks.build import build_network
from vpbsd.networks.roles import Ema
from vpbsd.random_streams import generator


@final
class MeanTeacher(Method[Semi]):
    """A student and the moving average of it."""

    draws = draw_semi

    def __init__(self, config: MeanTeacherConfig, seed: int) -> None:
        super().__init__()
        self.config, self.seed = config, seed
        self.student = build_network(config.network, seed)
        self.mean = Ema(self.student, config.decay)

    @property
    def deliverable(self) -> nn.Module:
        """The student, which the reference evaluates too."""
        return self.student

    def losses(self, batch: Semi, clock: Clock) -> dict[str, Tensor]:
        """`sup` on labels and, with a weight, `cons` over valid unlabelled voxels."""
        labelled, unlabelled = batch
        logits = self.student(labelled.image).logits
        sup = supervised_loss(self.config.sup, logits, labelled.label, labelled.valid)
        if not self.config.weight:
            return {"sup": sup}
        assert unlabelled is not None, "unlabelled patches come with the batch"
        guess = vessel_probability(self.student(unlabelled.image).logits)
        stream = generator(self.seed, "noise", clock.step)
        target = self.mean(perturbed(unlabelled.image, self.config.noise, stream)).logits
        cons = consistency_loss(guess, vessel_probability(target), unlabelled.valid)
        return {"sup": sup, "cons": cons}

    def weights(self, clock: Clock) -> dict[str, float]:
        """1 and w(t)."""
        return semi_weights(clock, self.config, "cons")

    def after_step(self, clock: Clock) -> None:
        """Moves the average; the first step makes it a copy of the student."""
        self.mean.update(self.student, clock.step)
