"""The first phase of AB: the student's encoder learns on which side of zero the teacher is.

Heo et al. 2019: L = (s + m)^2 where t <= 0 and s > -m, (s - m)^2 where t > 0 and s < m, with s a
connector's output; plain supervised training then goes on from the student. Two layers before any
activation: Z_S, and the state at 1/16 of the resolution with half its weight. Departures: Swin
states have no ReLU, so the teacher's boundary is the zero of its layer-normed states, which is
their mean; elements are averaged, not summed; the connectors have a layer norm (see `Connector`).
The decoder stays as it was initialised.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from vpbsd.data.patches import Semi
from vpbsd.losses.distillation import agreement, boundary_loss
from vpbsd.methods.distilling_configs import AbConfig
from vpbsd.methods.method import Clock
from vpbsd.methods.student import StudentMethod, seen_by, together
from vpbsd.networks.heads import Connector, train_only
from vpbsd.random_streams import initialising


@final
class ActivationBoundaries(StudentMethod[AbConfig]):
    """A student's encoder, connectors that are dropped afterwards, and how often they agreed."""

    agreed: Tensor

    def __init__(self, config: AbConfig, seed: int) -> None:
        super().__init__(config, seed)
        self.ab, width = config.ab, config.network.widths[-1]
        train_only(self.student, ("encoder.",))
        with initialising(seed, "connectors"):
            self.deepest = Connector(width, config.teacher_width)
            if self.ab.factor16:
                self.shallower = Connector(width, config.teacher_width // 2)
        self.register_buffer("agreed", torch.zeros(2))

    def losses(self, batch: Semi, clock: Clock) -> dict[str, Tensor]:
        """Returns `boundary` and, with a factor, `boundary16`."""
        seen = seen_by(self.student, batch)
        pairs = [(self.deepest(s.deepest), s.targets.features, s.valid) for s in seen]
        terms = {"boundary": self._loss(0, *together(pairs))}
        if self.ab.factor16:
            states = [(s.stage(4), s.targets.features16, s.valid) for s in seen]
            pairs = [(self.shallower(z), target, valid) for z, target, valid in states]
            terms["boundary16"] = self._loss(1, *together(pairs))
        return terms

    def weights(self, clock: Clock) -> dict[str, float]:
        """Returns the weight, and its share for the second layer."""
        first, second = self.ab.weight, self.ab.weight * self.ab.factor16
        return {"boundary": first, **({"boundary16": second} if second else {})}

    def readings(self, clock: Clock) -> dict[str, float]:
        """Returns each layer's share of elements on the teacher's side of zero, last step."""
        names = ("agreement", "agreement16")[: 2 if self.ab.factor16 else 1]
        return {name: float(self.agreed[i]) for i, name in enumerate(names)}

    def _loss(self, layer: int, z: Tensor, target: Tensor, share: Tensor) -> Tensor:
        self.agreed[layer] = agreement(z.detach(), target, share)
        return boundary_loss(z, target, self.ab.margin, share)
