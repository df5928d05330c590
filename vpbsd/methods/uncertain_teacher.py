"""UA-MT: Mean Teacher that listens only where its average is certain (Yu et al. 2019).

pbar = mean of T noisy passes of the average, u = -sum_c pbar ln(pbar + 1e-6), and
L_u = sum([u < H(t)] * |p_S - p_EMA|^2) / (2 * sum [u < H(t)]) against one further noisy pass
(eq. 2-4); H rises from .75 ln C to ln C. Departures: the student has no dropout, so certainty
comes from input noise alone; both ramps span the whole run; else as `mean_teacher`. Passes are
(T, B, K, D, H, W).
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from vpbsd.data.patches import Semi
from vpbsd.losses.agreement import certainty_threshold, consistency_loss, entropy
from vpbsd.losses.segmentation import vessel_probability
from vpbsd.losses.weighting import weighted_mean
from vpbsd.methods.configs import UncertainTeacherConfig
from vpbsd.methods.method import Clock
from vpbsd.methods.semi import Guess, perturbed, ramped, semi_weights, supervised_terms
from vpbsd.methods.student import StudentMethod
from vpbsd.networks.roles import Ema
from vpbsd.random_streams import generator


@final
class UncertainTeacher(StudentMethod[UncertainTeacherConfig]):
    """A student, the moving average of it, and the share of voxels that was certain lately."""

    certain_share: Tensor

    def __init__(self, config: UncertainTeacherConfig, seed: int) -> None:
        super().__init__(config, seed)
        self.mean = Ema(self.student, config.decay)
        self.register_buffer("certain_share", torch.zeros(()))

    def losses(self, batch: Semi, clock: Clock) -> dict[str, Tensor]:
        """Returns `sup` on labels and, with a weight, `cons` over valid and certain voxels."""
        terms, guess = supervised_terms(self.student, self.config, batch)
        if guess is None:
            return terms
        (target,) = self._answers(guess.image, "noise", 1, clock)
        return {
            **terms,
            "cons": consistency_loss(guess.vessel, target, self._certain(guess, clock)),
        }

    def weights(self, clock: Clock) -> dict[str, float]:
        """Returns 1 and w(t)."""
        return semi_weights(clock, self.config, "cons")

    def after_step(self, clock: Clock) -> None:
        """Moves the average; the first step makes it a copy of the student."""
        self.mean.update(self.student, clock.step)

    def readings(self, clock: Clock) -> dict[str, float]:
        """Returns the threshold, and the share of valid voxels below it in the last step."""
        share = {"certain_share": float(self.certain_share)} if self.config.weight else {}
        return {"threshold": self._threshold(clock), **share}

    def _certain(self, guess: Guess, clock: Clock) -> Tensor:
        """Returns 1 on valid voxels whose entropy is below the threshold, (B, 1, D, H, W)."""
        passes = self._answers(guess.image, "passes", self.config.passes, clock)
        below = (entropy(passes.mean(0)) < self._threshold(clock)).float()
        self.certain_share.copy_(weighted_mean(below, guess.valid))
        return below * guess.valid

    def _answers(self, image: Tensor, purpose: str, copies: int, clock: Clock) -> Tensor:
        """Runs the average on freshly noisy copies, (copies, B, K, D, H, W), in one call."""
        stream = generator(self.seed, purpose, clock.step)
        noisy = perturbed(image, self.config.noise, stream, copies)
        answer = vessel_probability(self.mean(noisy).logits)
        return answer.reshape(copies, len(image), *answer.shape[1:])

    def _threshold(self, clock: Clock) -> float:
        config = self.config
        return certainty_threshold(*ramped(clock, config), config.certain, config.network.classes)
