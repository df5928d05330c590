"""Contrastive pre-training by slices, as S4 (Yildiz 2022) writes its rival in eq. 3.

The same slices, network and phases as the comparative one; a similar pair is set against all other
slabs of its volume at once. tau = 1, as printed; Chaitanya's own form is in `chaitanya`.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from vpbsd.losses.slices import contrastive_loss
from vpbsd.methods.pretraining_configs import ContrastiveConfig
from vpbsd.methods.slices import SlicePretraining


@final
class Contrastive(SlicePretraining[ContrastiveConfig]):
    """A slice against those of all other slabs."""

    def loss(self, s: Tensor, weight: Tensor) -> Tensor:
        """Computes eq. 3, (M, M, P, P) and (M, P) -> a scalar."""
        return contrastive_loss(s, weight, self.config.tau)
