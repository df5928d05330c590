"""The first phase of FitNets' original form: guided layers learn the hint and nothing else.

Romero et al. 2015, eq. 3: 1/2 mean ||r(Z_S) - Z_T||^2, with a 1x1x1 convolution for r that is
dropped afterwards; distillation of the logits (`kd`) goes on from the student. The guided layer is
the deepest one, so the decoder stays as it was initialised. The paper's form of FitNets in S0 has
one phase and another norm, see `fitnets`.
"""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from vpbsd.data.patches import Semi, draw_semi
from vpbsd.losses.distillation import feature_l2
from vpbsd.methods.distilling_configs import HintsConfig
from vpbsd.methods.method import Clock, Method
from vpbsd.methods.student import encoder_only, seen_by, together
from vpbsd.networks.build import build_network
from vpbsd.networks.heads import Regressor
from vpbsd.random_streams import initialising


@final
class Hints(Method[Semi]):
    """A student's encoder and a regressor to the teacher's deepest state."""

    draws = draw_semi

    def __init__(self, config: HintsConfig, seed: int) -> None:
        super().__init__()
        self.student = encoder_only(build_network(config.network, seed))
        with initialising(seed, "regressor"):
            self.regressor = Regressor(config.network.widths[-1], config.teacher_width)

    @property
    def deliverable(self) -> nn.Module:
        """The student, for the second phase."""
        return self.student

    def losses(self, batch: Semi, clock: Clock) -> dict[str, Tensor]:
        """`hint` alone."""
        seen = seen_by(self.student, batch)
        pairs = [(self.regressor(s.deepest), s.targets.features, s.valid) for s in seen]
        return {"hint": feature_l2(*together(pairs))}

    def weights(self, clock: Clock) -> dict[str, float]:
        """One."""
        return {"hint": 1.0}
