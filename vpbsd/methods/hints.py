"""The first phase of FitNets' original form: guided layers learn the hint and nothing else.

Romero et al. 2015, eq. 3: 1/2 mean ||r(Z_S) - Z_T||^2, with a 1x1x1 convolution for r that is
dropped afterwards; distillation of the logits (`kd`) goes on from the student. The guided layer is
the deepest one, so the decoder stays as it was initialised. The paper's form of FitNets in S0 has
one phase and another norm, see `fitnets`.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from vpbsd.data.patches import Semi
from vpbsd.losses.distillation import feature_l2
from vpbsd.methods.distilling_configs import HintsConfig
from vpbsd.methods.method import Clock
from vpbsd.methods.student import StudentMethod, seen_by, together
from vpbsd.networks.heads import Regressor, train_only
from vpbsd.random_streams import initialising


@final
class Hints(StudentMethod[HintsConfig]):
    """A student's encoder and a regressor to the teacher's deepest state."""

    def __init__(self, config: HintsConfig, seed: int) -> None:
        super().__init__(config, seed)
        train_only(self.student, ("encoder.",))
        with initialising(seed, "regressor"):
            self.regressor = Regressor(config.network.widths[-1], config.teacher_width)

    def losses(self, batch: Semi, clock: Clock) -> dict[str, Tensor]:
        """Returns `hint` alone."""
        seen = seen_by(self.student, batch)
        pairs = [(self.regressor(s.deepest), s.targets.features, s.valid) for s in seen]
        return {"hint": feature_l2(*together(pairs))}

    def weights(self, clock: Clock) -> dict[str, float]:
        """Returns 1."""
        return {"hint": 1.0}
