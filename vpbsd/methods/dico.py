"""DiCo: a CNN and a transformer change roles, whoever does better on labels teaches (Xu et al.).

Learning dynamic collaborative network for semi-supervised 3D vessel segmentation, CVPR 2025,
arXiv 2601.07377. Settled by the paper's summary and its published code: two networks with L_sup
each; the one whose L_sup is lower in a step gives hard labels of the unlabelled patches, the other
learns them by the same loss; a discriminator tells maximum projections of guessed masks, beside
that of their image, from those of true ones, and both networks are to deceive it. Our decisions:
L_adv has weight .2 and a gradient (in that code it has none), the discriminator's layers, all nets
take one step at once, Swin UNETR in place of UNETR, L_sup as in the other rivals. Left out: the
multi-view module before the transformer, of which no description was at hand that settles it. The
CNN is the student of every arm and is deployed. Logits are (B, 1 + K, D, H, W).
"""

from __future__ import annotations

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from vpbsd.data.patches import Labelled, Semi, Unlabelled
from vpbsd.losses.classes import hard_labels
from vpbsd.losses.segmentation import supervised_loss, vessel_probability
from vpbsd.methods.method import Clock
from vpbsd.methods.rival_configs import DicoConfig
from vpbsd.methods.student import StudentMethod
from vpbsd.methods.two_networks import answers_of, both_supervised, build_transformer
from vpbsd.networks.discriminator import Discriminator, projection
from vpbsd.networks.roles import bypass
from vpbsd.random_streams import initialising


@final
class Dico(StudentMethod[DicoConfig]):
    """A student, and a transformer and a discriminator that are dropped afterwards."""

    taught: Tensor

    def __init__(self, config: DicoConfig, seed: int) -> None:
        super().__init__(config, seed)
        self.dico = config.dico
        self.transformer = build_transformer(config, seed)
        if self.dico.adversarial:
            with initialising(seed, "discriminator"):
                self.discriminator = Discriminator(config.network.classes)
        self.register_buffer("taught", torch.zeros(()))

    def losses(self, batch: Semi, clock: Clock) -> dict[str, Tensor]:
        """Returns `sup` of both, `pseudo` of the one that learns, `adv` and `discriminator`."""
        labelled, unlabelled = batch
        known = answers_of(self.student, self.transformer, labelled.image)
        terms = both_supervised(self.config.sup, known, labelled, "sup_transformer")
        if not self.config.draws_unlabelled:
            return terms
        assert unlabelled is not None, "unlabelled patches come with the batch"
        guesses = answers_of(self.student, self.transformer, unlabelled.image).logits
        if self.dico.weight:
            leads = bool(terms["sup"] <= terms["sup_transformer"])
            teacher, learner = guesses if leads else guesses[::-1]
            self.taught.fill_(float(leads))
            target = hard_labels(teacher)
            terms["pseudo"] = supervised_loss(self.config.sup, learner, target, unlabelled.valid)
        if self.dico.adversarial:
            masks = [vessel_probability(logits) for logits in guesses]
            terms |= self._adversarial(masks, labelled, unlabelled)
        return terms

    def weights(self, clock: Clock) -> dict[str, float]:
        """Returns 1 for labels and for the discriminator, and the two weights."""
        pseudo = {"pseudo": self.dico.weight} if self.dico.weight else {}
        adv = {"adv": self.dico.adversarial, "discriminator": 1.0}
        both = {"sup": 1.0, "sup_transformer": 1.0}
        return {**both, **pseudo, **(adv if self.dico.adversarial else {})}

    def readings(self, clock: Clock) -> dict[str, float]:
        """Returns 1 if the student was the teacher in the last step, 0 if the transformer was."""
        return {"student_taught": float(self.taught)} if self.dico.weight else {}

    def _adversarial(
        self, masks: list[Tensor], labelled: Labelled, unlabelled: Unlabelled
    ) -> dict[str, Tensor]:
        """Returns what deceives the discriminator, which it stays out of, and what trains it."""
        image = projection(unlabelled.image * unlabelled.valid)
        guessed = [projection(mask * unlabelled.valid) for mask in masks]
        drawn = projection(labelled.label * labelled.valid)
        beside = projection(labelled.image * labelled.valid)
        deceived = [_judged(bypass(self.discriminator, x, image), 1.0) for x in guessed]
        told = [_judged(self.discriminator(x.detach(), image), 0.0) for x in guessed]
        told.append(_judged(self.discriminator(drawn, beside), 1.0))
        return {"adv": torch.stack(deceived).sum(), "discriminator": torch.stack(told).sum()}


def _judged(logits: Tensor, truth: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(
        logits.float(), torch.full_like(logits, truth).float()
    )
