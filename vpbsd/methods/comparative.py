"""Comparative pre-training: log(1 + exp(s(i_p, i_q) - s(i_p, j_p))) over slice triplets.

S4 (Yildiz 2022, Accelerated semi-supervised medical image segmentation), eq. 2: a slice is more
like one of the same slab of another volume than like one of another slab of its own. Slices are
taken of each class but the background, which says nothing more. For what the paper leaves
open see `slices` and docs/pretraining.md.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from vpbsd.losses.slices import comparative_loss
from vpbsd.methods.pretraining_configs import ComparativeConfig
from vpbsd.methods.slices import SlicePretraining


@final
class Comparative(SlicePretraining[ComparativeConfig]):
    """Triplets under the Bradley-Terry model."""

    def loss(self, s: Tensor, weight: Tensor) -> Tensor:
        """Computes eq. 2, (M, M, P, P) and (M, P) -> a scalar."""
        return comparative_loss(s, weight)
