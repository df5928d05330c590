"""Variational information distillation: the student's feature predicts the teacher's.

Ahn et al. 2019: L_sup + w * L_VID, L_VID = mean ((Z_T - mu(Z_S))^2 / var + log var) / 2, where mu
is a small network and var one number for each channel. It bounds the information that the student
keeps of the teacher. Departures from the reference, which is 2-D: 1x1x1 convolutions, one layer
(the deepest, d_s to d_t), and `hidden` channels in between instead of d_t, or the head would be
ten times the student.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from vpbsd.data.patches import Semi
from vpbsd.losses.distillation import gaussian_vid
from vpbsd.methods.distilling_configs import VidConfig
from vpbsd.methods.method import Clock
from vpbsd.methods.student import StudentMethod, student_terms, together
from vpbsd.networks.heads import Gaussian
from vpbsd.random_streams import initialising


@final
class VariationalDistillation(StudentMethod[VidConfig]):
    """A student, a head that is dropped afterwards, and the teacher's deepest state."""

    def __init__(self, config: VidConfig, seed: int) -> None:
        super().__init__(config, seed)
        vid = config.vid
        if vid.weight:
            with initialising(seed, "gaussian"):
                widths = config.network.widths[-1], config.teacher_width
                self.head = Gaussian(*widths, vid.hidden, vid.variance)

    def losses(self, batch: Semi, clock: Clock) -> dict[str, Tensor]:
        """Returns `sup` and, with a weight, `vid`."""
        terms, seen = student_terms(self.student, batch, semi=False)
        if self.config.vid.weight:
            z, target, share = together([(s.deepest, s.targets.features, s.valid) for s in seen])
            mean, variance = self.head(z)
            terms["vid"] = gaussian_vid(mean, variance, target, share)
        return terms

    def weights(self, clock: Clock) -> dict[str, float]:
        """Returns 1 and w."""
        vid = self.config.vid
        return {"sup": 1.0, **({"vid": vid.weight} if vid.weight else {})}

    def readings(self, clock: Clock) -> dict[str, float]:
        """Returns the range of the variances that were learned."""
        if not self.config.vid.weight:
            return {}
        variance = self.head.variance.detach()
        return {"variance/min": float(variance.min()), "variance/max": float(variance.max())}
