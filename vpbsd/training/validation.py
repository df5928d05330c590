"""Validation while training: what a search sees of a student before its training has ended.

A stage that was given parts of the role `validation` adds `val/dsc` to some of its rows. No
method draws from those parts and nothing random is touched, so the weights are those of the same
stage without them; and stages without them have the keys they always had.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from vpbsd.config import Data, Precision
from vpbsd.data.folds import Part
from vpbsd.data.lattice import PatchSet, cells
from vpbsd.losses.classes import decided
from vpbsd.losses.segmentation import vessel_probability
from vpbsd.methods.method import Method
from vpbsd.optim import Optim
from vpbsd.random_streams import permutation
from vpbsd.training.validation_epochs import DSC, is_validated

MOST_PATCHES = 32
"""One costs a forward pass of these: a glance to rank by, not a result to report."""


class Validation:
    """Measures a student while it is trained.

    Args:
        parts: Labelled, of no group that trains; none: it never measures.
        data: Patch size and intensity of the stage.
        optim: Its schedule.
        precision: Its precision.
    """

    def __init__(
        self, parts: tuple[Part, ...], data: Data, optim: Optim, precision: Precision
    ) -> None:
        self.optim, self.precision = optim, precision
        every = cells(parts, data.patch)
        chosen = permutation(0, "validated cells", 0, len(every))[:MOST_PATCHES].tolist()
        self.patches = PatchSet(parts, data, [every[i] for i in sorted(chosen)])

    def row(
        self, method: Method[Any], row: dict[str, float], device: torch.device
    ) -> dict[str, float]:
        """Measures `val/dsc` if the epoch of this row is one to validate; else returns nothing.

        Args:
            method: Put in eval mode meanwhile.
            row: With the ``epoch``.
            device: Where the method is.
        """
        if not len(self.patches) or not is_validated(self.optim, int(row["epoch"])):
            return {}
        method.eval()
        dsc = self._dsc(method, device)
        method.train()
        return {DSC: dsc}

    @torch.no_grad()
    def _dsc(self, method: Method[Any], device: torch.device) -> float:
        """Computes Dice over the voxels of all patches together, 1 for a class that nobody has.

        The mean over classes.
        """
        both = either = np.zeros(self.patches.data.classes - 1)
        half = self.precision == "bf16"
        for i in range(len(self.patches)):
            x = torch.from_numpy(self.patches.image(i))[None, None].to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                logits = method.deliverable(x).logits
            prediction = decided(vessel_probability(logits))[0].cpu().numpy() > 0
            valid = self.patches.valid(i) > 0
            prediction, truth = prediction & valid, self.patches.label(i) > 0
            both = both + (prediction & truth).sum((1, 2, 3))
            either = either + prediction.sum((1, 2, 3)) + truth.sum((1, 2, 3))
        return float(np.where(either, 2 * both / np.maximum(either, 1), 1.0).mean())
