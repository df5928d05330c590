"""CPS: two students of one network, each learns the other's hard labels (Chen et al. 2021).

L = L_sup1 + L_sup2 + w(t) * (L_cps on labelled + L_cps on unlabelled patches), with
L_cps = CE(p_1, argmax p_2) + CE(p_2, argmax p_1), eq. 1-3. Departures: L_sup is half cross
entropy, half Dice, and w rises to .1 over the whole run, both as in SSL4MIS's code on volumes (the
paper has cross entropy and a constant 1.5, with CutMix, on street scenes). The first student
begins as that of every arm and is deployed, the second has weights of its own. Logits are
(B, 1 + K, D, H, W).
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from vpbsd.data.patches import Semi
from vpbsd.losses.classes import hard_labels
from vpbsd.losses.segmentation import cross_entropy_loss
from vpbsd.methods.method import Clock
from vpbsd.methods.rival_configs import CpsConfig
from vpbsd.methods.semi import ramped_weight
from vpbsd.methods.student import StudentMethod
from vpbsd.methods.two_networks import answers_of, both_supervised
from vpbsd.networks.build import build_network
from vpbsd.random_streams import stream


@final
class CrossPseudo(StudentMethod[CpsConfig]):
    """A student, and another one that is dropped afterwards."""

    def __init__(self, config: CpsConfig, seed: int) -> None:
        super().__init__(config, seed)
        self.other = build_network(config.network, stream(seed, "other student"))

    def losses(self, batch: Semi, clock: Clock) -> dict[str, Tensor]:
        """Returns `sup` of both students and, with a weight, `cps` on all patches."""
        labelled, unlabelled = batch
        known = answers_of(self.student, self.other, labelled.image)
        terms = both_supervised(self.config.sup, known, labelled, "sup_other")
        if not self.config.cps.weight:
            return terms
        assert unlabelled is not None, "unlabelled patches come with the batch"
        guessed = answers_of(self.student, self.other, unlabelled.image)
        cps = cross_entropies(*known.logits, labelled.valid)
        return {**terms, "cps": cps + cross_entropies(*guessed.logits, unlabelled.valid)}

    def weights(self, clock: Clock) -> dict[str, float]:
        """Returns 1 for each student's labels, and w(t)."""
        cps = self.config.cps
        cross = {"cps": ramped_weight(clock, cps.weight, cps.ramp_share)} if cps.weight else {}
        return {"sup": 1.0, "sup_other": 1.0, **cross}


def cross_entropies(first: Tensor, second: Tensor, weight: Tensor | None = None) -> Tensor:
    """Computes CE(p_1, argmax p_2) + CE(p_2, argmax p_1), means over valid voxels (eq. 2).

    Each sees the other as given: no gradient flows through a label.

    Args:
        first: logits of one network, (B, 1 + K, D, H, W).
        second: of the other, same shape.
        weight: (B, 1, D, H, W), 0 on padded voxels.
    """
    one = cross_entropy_loss(first, hard_labels(second), weight)
    return one + cross_entropy_loss(second, hard_labels(first), weight)
