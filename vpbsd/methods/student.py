"""What the distilling methods share: terms on labels and pseudo-labels, the deepest answers."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vpbsd.data.patches import Said, Semi
from vpbsd.losses.distillation import feature_l1
from vpbsd.losses.schedule import ramp
from vpbsd.losses.segmentation import dice_loss, vessel_probability
from vpbsd.losses.weighting import token_share
from vpbsd.methods.method import Clock


class Seen(NamedTuple):
    """The student's deepest output on some patches, beside what the teacher said of them."""

    deepest: Tensor
    said: Said
    valid: Tensor


def student_terms(
    student: nn.Module, batch: Semi, *, semi: bool
) -> tuple[dict[str, Tensor], list[Seen]]:
    """`sup` on labels and, if asked, `semi` on pseudo-labels (VpbSD eq. 7 and 11).

    Labelled and unlabelled patches go through the student in two calls: one joint call would
    change the last bits of the supervised gradient, and arms would no longer be paired.
    """
    labelled, unlabelled = batch
    answer = student(labelled.image)
    sup = dice_loss(vessel_probability(answer.logits), labelled.label, labelled.valid)
    terms, seen = {"sup": sup}, [Seen(answer.stages[-1], labelled.said, labelled.valid)]
    if unlabelled is None:
        return terms, seen
    answer = student(unlabelled.image)
    seen.append(Seen(answer.stages[-1], unlabelled.said, unlabelled.valid))
    if semi:
        assert unlabelled.said.pseudo is not None, "pseudo-labels come with the batch"
        guess = vessel_probability(answer.logits)
        terms["semi"] = dice_loss(guess, unlabelled.said.pseudo, unlabelled.valid)
    return terms, seen


def student_weights(clock: Clock, beta: float, ramp_epochs: float) -> dict[str, float]:
    """1 for `sup`, beta(t) for `semi` where beta is not 0 (VpbSD eq. 10)."""
    semi = {"semi": beta * ramp(clock.epoch, ramp_epochs)} if beta else {}
    return {"sup": 1.0, **semi}


def deepest_l1(pairs: list[tuple[Tensor, Tensor | None, Tensor]]) -> Tensor:
    """Mean |z - target| over the tokens of all batches that have a target.

    Args:
        pairs: z (B, c, d, h, w), target of that shape or None, validity (B, 1, D, H, W).
    """
    met = [(z, target, valid) for z, target, valid in pairs if target is not None]
    z, target, valid = (torch.cat(parts) for parts in zip(*met, strict=True))
    return feature_l1(z, target, token_share(valid, tuple(z.shape[2:])))
