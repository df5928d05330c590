"""FitNets as VpbSD's tables have it: L_sup + gamma * L_mid, L_mid = mean |DA(Z_S) - Z_T|.

Romero et al. 2014 in the one-stage form of S0 (Table 1 and the row "Baseline + L_mid" of Table 3
are one run): a 1x1 convolution lifts the student's deepest output to the teacher's width. With
beta > 0 it is the row "Baseline + L_semi + L_mid". Teacher states are layer-normed and signed, so
no ReLU follows the regressor.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from vpbsd.data.patches import Semi
from vpbsd.methods.distilling_configs import FitNetsConfig
from vpbsd.methods.method import Clock
from vpbsd.methods.student import StudentMethod, deepest_l1, student_terms, student_weights
from vpbsd.networks.heads import Regressor
from vpbsd.random_streams import initialising


@final
class FitNets(StudentMethod[FitNetsConfig]):
    """A student, a regressor that is dropped afterwards, and the teacher's deepest state."""

    def __init__(self, config: FitNetsConfig, seed: int) -> None:
        super().__init__(config, seed)
        with initialising(seed, "regressor"):
            self.regressor = Regressor(config.network.widths[-1], config.teacher_width)

    def losses(self, batch: Semi, clock: Clock) -> dict[str, Tensor]:
        """Returns `sup`, `mid` and, with beta, `semi`."""
        terms, seen = student_terms(self.student, batch, semi=self.config.beta > 0)
        hints = [(self.regressor(s.deepest), s.targets.features, s.valid) for s in seen]
        return {**terms, "mid": deepest_l1(hints)}

    def weights(self, clock: Clock) -> dict[str, float]:
        """Returns 1, beta(t) and gamma."""
        weights = student_weights(clock, self.config.beta, self.config.ramp_epochs)
        return {**weights, "mid": self.config.gamma}
