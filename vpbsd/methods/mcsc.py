"""MCSC: a CNN and a transformer teach each other labels and features (Liu et al., BMVC 2023).

L = sum over both of L_sup + w_cps * L_cps + w_cl * L_cl. L_cps is the Dice loss against the
other's hard labels on unlabelled patches (Luo et al. 2022). L_cl pulls voxels of a class together
in a space that both networks share, at several scales of their decoders, within groups of blocks
from different places, each class with the same weight; labels are true ones on labelled patches,
the other network's elsewhere. The CNN is the student of every arm and is deployed. Decisions are
in docs/rivals.md. Logits are (B, 1 + K, D, H, W), features (B, c, d, h, w).
"""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor, nn

from vpbsd.data.patches import Semi
from vpbsd.losses.classes import hard_labels
from vpbsd.losses.segmentation import dice_loss, vessel_probability
from vpbsd.losses.supervised_contrast import supervised_contrast
from vpbsd.methods.local_groups import Voxels, draw_blocks, groups_of, stratified
from vpbsd.methods.method import Clock
from vpbsd.methods.rival_configs import McscConfig
from vpbsd.methods.semi import ramped_weight
from vpbsd.methods.student import StudentMethod, resized
from vpbsd.methods.two_networks import Both, answers_of, both_supervised, build_transformer
from vpbsd.networks.build import decoded_width
from vpbsd.networks.output import place_of
from vpbsd.networks.projectors import SharedProjector
from vpbsd.random_streams import generator, initialising


class Labelling(NamedTuple):
    """Answers of both networks to some patches, and the labels by which their voxels are told."""

    answers: Both
    labels: tuple[Tensor, Tensor]
    valid: Tensor


@final
class Mcsc(StudentMethod[McscConfig]):
    """A student, a transformer and their projectors that are dropped afterwards."""

    agreed: Tensor

    def __init__(self, config: McscConfig, seed: int) -> None:
        super().__init__(config, seed)
        self.mcsc = config.mcsc
        self.transformer = build_transformer(config, seed)
        with initialising(seed, "projectors"):
            kinds = (config.network, config.transformer)
            self.projectors = nn.ModuleDict()
            for cell in self.mcsc.contrasted:
                first, second = (decoded_width(kind, cell) for kind in kinds)
                self.projectors[str(cell)] = SharedProjector((first, second))
        self.register_buffer("agreed", torch.zeros(()))

    def losses(self, batch: Semi, clock: Clock) -> dict[str, Tensor]:
        """Returns `sup` and `cps` of both networks, and `contrast` by scale."""
        labelled, unlabelled = batch
        known, truth = self._answers(labelled.image), labelled.label
        terms = both_supervised(self.config.sup, known, labelled, "sup_transformer")
        if not self.config.draws_unlabelled:
            return terms
        assert unlabelled is not None, "unlabelled patches come with the batch"
        guessed = self._answers(unlabelled.image)
        (a, b), valid = guessed.logits, unlabelled.valid
        first, second = hard_labels(a), hard_labels(b)
        if self.mcsc.cps:
            terms["cps"] = dice_loss(vessel_probability(a), second, valid)
            terms["cps_transformer"] = dice_loss(vessel_probability(b), first, valid)
        self.agreed.copy_(1 - dice_loss(first, second, valid))
        crossed = (first, second) if self.mcsc.labels == "own" else (second, first)
        told = [Labelling(known, (truth, truth), labelled.valid)]
        if clock.step >= self.mcsc.start_share * clock.total_steps:
            told.append(Labelling(guessed, crossed, valid))
        scales = {f"contrast_{c}": self._contrast(c, told, clock) for c in self.mcsc.contrasted}
        return terms | scales

    def weights(self, clock: Clock) -> dict[str, float]:
        """Returns 1 for labels, ramped w_cps, and w_cl for each network at each scale."""
        cps = ramped_weight(clock, self.mcsc.cps, self.mcsc.ramp_share)
        crossed = {"cps": cps, "cps_transformer": cps} if self.mcsc.cps else {}
        # the loss of either network has w_cl L_cl, and L is their sum
        contrasts = {f"contrast_{c}": 2 * self.mcsc.contrast for c in self.mcsc.contrasted}
        return {"sup": 1.0, "sup_transformer": 1.0, **crossed, **contrasts}

    def readings(self, clock: Clock) -> dict[str, float]:
        """Returns the DSC of both networks' labels of unlabelled patches in the last step."""
        return {"agreement": float(self.agreed)} if self.config.draws_unlabelled else {}

    def _answers(self, image: Tensor) -> Both:
        return answers_of(self.student, self.transformer, image)

    def _contrast(self, cell: int, told: list[Labelling], clock: Clock) -> Tensor:
        """Averages the contrast over groups of blocks, those that have something to contrast."""
        draw = generator(self.seed, f"blocks of {cell}", clock.step)
        projector, drawn = self.projectors[str(cell)], []
        for answers, labels, valid in told:
            for network, (answer, label) in enumerate(zip(answers, labels, strict=True)):
                feature = resized(answer.decoded[place_of(cell)], valid, cell.bit_length() - 1)
                voxels = draw_blocks(feature, label, valid, self.mcsc.groups, draw)
                vectors = projector(voxels.features, network)
                drawn.append(voxels._replace(features=vectors))
        costs = [self._cost(group, draw) for group in groups_of(drawn)]
        found = [cost for cost in costs if cost is not None]
        return torch.stack(found).mean() if found else drawn[0].features.sum() * 0

    def _cost(self, group: Voxels, draw: torch.Generator) -> Tensor | None:
        chosen = stratified(group.labels, group.real, self.mcsc.voxels, draw)
        vectors, labels = group.features[chosen], group.labels[chosen]
        anchors = labels > 0.5 if self.mcsc.anchors == "foreground" else labels > -1
        tau, balanced = self.mcsc.temperature, self.mcsc.balanced
        return supervised_contrast(vectors, labels, anchors, tau, balanced=balanced)
