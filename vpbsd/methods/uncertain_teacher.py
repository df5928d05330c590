"""UA-MT: Mean Teacher that listens only where its average is certain (Yu et al. 2019).

pbar = mean of T noisy passes of the average, u = -sum_c pbar ln(pbar + 1e-6), and
L_u = sum([u < H(t)] * |p_S - p_EMA|^2) / (2 * sum [u < H(t)]) against one further noisy pass
(eq. 2-4); H rises from .75 ln 2 to ln 2. Departures: the student has no dropout, so certainty
comes from input noise alone; both ramps span the whole run; else as `mean_teacher`. Passes are
(T, B, 1, D, H, W).
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from vpbsd.data.patches import Semi, Unlabelled, draw_semi
from vpbsd.losses.agreement import certainty_threshold, consistency_loss, entropy
from vpbsd.losses.segmentation import supervised_loss, vessel_probability
from vpbsd.losses.weighting import weighted_mean
from vpbsd.methods.configs import UncertainTeacherConfig
from vpbsd.methods.method import Clock, Method
from vpbsd.methods.semi import perturbed, ramped, semi_weights
from vpbsd.networks.build import build_network
from vpbsd.networks.roles import Ema
from vpbsd.random_streams import generator


@final
class UncertainTeacher(Method[Semi]):
    """A student, the moving average of it, and the share of voxels that was certain lately."""

    draws = draw_semi
    certain_share: Tensor

    def __init__(self, config: UncertainTeacherConfig, seed: int) -> None:
        super().__init__()
        self.config, self.seed = config, seed
        self.student = build_network(config.network, seed)
        self.mean = Ema(self.student, config.decay)
        self.register_buffer("certain_share", torch.zeros(()))

    @property
    def deliverable(self) -> nn.Module:
        """The student."""
        return self.student

    def losses(self, batch: Semi, clock: Clock) -> dict[str, Tensor]:
        """`sup` on labels and, with a weight, `cons` over valid and certain unlabelled voxels."""
        labelled, unlabelled = batch
        logits = self.student(labelled.image).logits
        sup = supervised_loss(self.config.sup, logits, labelled.label, labelled.valid)
        if not self.config.weight:
            return {"sup": sup}
        assert unlabelled is not None, "unlabelled patches come with the batch"
        guess = vessel_probability(self.student(unlabelled.image).logits)
        (target,) = self._answers(unlabelled.image, "noise", 1, clock)
        return {
            "sup": sup,
            "cons": consistency_loss(guess, target, self._certain(unlabelled, clock)),
        }

    def weights(self, clock: Clock) -> dict[str, float]:
        """1 and w(t)."""
        return semi_weights(clock, self.config, "cons")

    def after_step(self, clock: Clock) -> None:
        """Moves the average; the first step makes it a copy of the student."""
        self.mean.update(self.student, clock.step)

    def readings(self, clock: Clock) -> dict[str, float]:
        """The threshold, and the share of valid voxels below it in the last step."""
        share = {"certain_share": float(self.certain_share)} if self.config.weight else {}
        return {"threshold": self._threshold(clock), **share}

    def _certain(self, unlabelled: Unlabelled, clock: Clock) -> Tensor:
        """1 on valid voxels whose entropy is below the threshold, (B, 1, D, H, W)."""
        passes = self._answers(unlabelled.image, "passes", self.config.passes, clock)
        below = (entropy(passes.mean(0)) < self._threshold(clock)).float()
        self.certain_share.copy_(weighted_mean(below, unlabelled.valid))
        return below * unlabelled.valid

    def _answers(self, image: Tensor, purpose: str, copies: int, clock: Clock) -> Tensor:
        """The average's answers on freshly noisy copies, (copies, B, 1, D, H, W), in one call."""
        stream = generator(self.seed, purpose, clock.step)
        noisy = perturbed(image, self.config.noise, stream, copies)
        return vessel_probability(self.mean(noisy).logits).reshape(copies, *image.shape)

    def _threshold(self, clock: Clock) -> float:
        return certainty_threshold(*ramped(clock, self.config), self.config.certain)
