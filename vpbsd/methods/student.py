"""What methods that train a student share: the student, terms on labels and pseudo-labels."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vpbsd.config import MethodSection
from vpbsd.data.patches import Semi, TeacherTargets, draw_semi
from vpbsd.losses.classes import margin_probability
from vpbsd.losses.distillation import feature_l1
from vpbsd.losses.schedule import ramp
from vpbsd.losses.segmentation import dice_loss, soft_dice_loss, vessel_probability
from vpbsd.losses.weighting import token_share
from vpbsd.methods.method import Clock, Method
from vpbsd.networks.build import build_network
from vpbsd.networks.output import SegOutput

C = TypeVar("C", bound=MethodSection)
Pair = tuple[Tensor, Tensor | None, Tensor]
"""z (B, c, d, h, w), target of that shape or None, validity (B, 1, D, H, W)."""


class StudentMethod(Method[Semi], Generic[C]):
    """A method that trains a student on labelled patches and maybe others, and delivers it.

    Attributes:
        config: Of the method.
        seed: Of all its random streams.
        student: Initialised first and from its own stream, so that all arms of a study begin
            alike; what a method adds to it comes after.
    """

    draws = draw_semi

    def __init__(self, config: C, seed: int) -> None:
        super().__init__()
        self.config, self.seed = config, seed
        self.student = build_network(config.network, seed)

    @property
    def deliverable(self) -> nn.Module:
        """The student alone."""
        return self.student


class Seen(NamedTuple):
    """The student's answer to some patches, beside what the teacher said of them."""

    answer: SegOutput
    targets: TeacherTargets
    valid: Tensor

    @property
    def deepest(self) -> Tensor:
        """Z_S (B, d_s, d, h, w), on the grid of the teacher's codes."""
        return self.stage(5)

    def stage(self, halvings: int) -> Tensor:
        """Gives the feature at 1 / 2^halvings of the resolution, as the teacher has it there.

        A student that leaves z alone at first has a finer grid along z: its means are given.
        """
        return resized(self.answer.stages[halvings - 1], self.valid, halvings)

    def beside(self, target: Tensor | None) -> Tensor:
        """Gives the state on the target's grid, (B, c, d, h, w); Z_S where there is none."""
        if target is None:
            return self.deepest
        cell = self.valid.shape[-1] // target.shape[-1]
        return self.stage(cell.bit_length() - 1)

    @property
    def vessel(self) -> Tensor:
        """Probability of the foreground classes (B, K, D, H, W)."""
        return vessel_probability(self.answer.logits)


def resized(feature: Tensor, valid: Tensor, halvings: int) -> Tensor:
    """Averages a feature to a grid of 1 / 2^halvings of the patch, where it is finer than that."""
    z, y, x = (side >> halvings for side in valid.shape[2:])
    grid = (z, y, x)
    same = tuple(feature.shape[2:]) == grid
    return feature if same else F.adaptive_avg_pool3d(feature, grid)


def seen_by(student: nn.Module, batch: Semi) -> list[Seen]:
    """Runs the student where no label is needed; in two calls, as below."""
    parts = [part for part in batch if part is not None]
    return [Seen(student(part.image), part.targets, part.valid) for part in parts]


def student_terms(
    student: nn.Module, batch: Semi, *, semi: bool
) -> tuple[dict[str, Tensor], list[Seen]]:
    """Computes `sup` on labels and, if asked, `semi` on pseudo-labels (VpbSD eq. 7 and 11).

    Labelled and unlabelled patches go through the student in two calls: one joint call would
    change the last bits of the supervised gradient, and arms would no longer be paired.
    """
    labelled, unlabelled = batch
    answer = student(labelled.image)
    seen = [Seen(answer, labelled.targets, labelled.valid)]
    terms = {"sup": dice_loss(seen[0].vessel, labelled.label, labelled.valid)}
    if unlabelled is None:
        return terms, seen
    answer = student(unlabelled.image)
    seen.append(Seen(answer, unlabelled.targets, unlabelled.valid))
    if semi:
        terms["semi"] = pseudo_loss(seen[-1].vessel, unlabelled.targets, unlabelled.valid)
    return terms, seen


def pseudo_loss(guess: Tensor, targets: TeacherTargets, valid: Tensor) -> Tensor:
    """Computes the Dice loss against the teacher's mask or, without one, its probability."""
    if targets.pseudo is not None:
        return dice_loss(guess, targets.pseudo, valid)
    assert targets.margin is not None, "pseudo-labels come with the batch"
    return soft_dice_loss(guess, margin_probability(targets.margin), valid)


def student_weights(clock: Clock, beta: float, ramp_epochs: float) -> dict[str, float]:
    """Returns 1 for `sup`, beta(t) for `semi` where beta is not 0 (VpbSD eq. 10)."""
    semi = {"semi": beta * ramp(clock.epoch, ramp_epochs)} if beta else {}
    return {"sup": 1.0, **semi}


def deepest_l1(pairs: list[Pair]) -> Tensor:
    """Averages |z - target| over the tokens of all batches that have a target."""
    return feature_l1(*together(pairs))


def together(pairs: list[Pair]) -> tuple[Tensor, Tensor, Tensor]:
    """Joins z, target and valid share of each token, of all batches that have a target."""
    met = [(z, target, valid) for z, target, valid in pairs if target is not None]
    z, target, valid = (torch.cat(parts) for parts in zip(*met, strict=True))
    return z, target, token_share(valid, tuple(z.shape[2:]))
