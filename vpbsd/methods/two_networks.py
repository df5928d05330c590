"""What methods share that train a second network beside the student: both answer, both learn."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from vpbsd.config import Supervision
from vpbsd.data.patches import Labelled
from vpbsd.losses.segmentation import supervised_loss
from vpbsd.methods.rival_configs import WithTransformer
from vpbsd.networks.build import build_network
from vpbsd.networks.output import SegOutput
from vpbsd.random_streams import stream


class Both(NamedTuple):
    """Answers of the student and of the network beside it to the same patches."""

    student: SegOutput
    other: SegOutput

    @property
    def logits(self) -> tuple[Tensor, Tensor]:
        """Of either, (B, 1 + K, D, H, W)."""
        return self.student.logits, self.other.logits


def answers_of(student: nn.Module, other: nn.Module, image: Tensor) -> Both:
    """Runs both networks on patches (B, 1, D, H, W)."""
    return Both(student(image), other(image))


def build_transformer(config: WithTransformer, seed: int) -> nn.Module:
    """Builds the transformer from a stream of its own; its head that rebuilds is not trained."""
    transformer = build_network(config.transformer, stream(seed, "transformer"))
    transformer.get_submodule("reconstruction").requires_grad_(False)
    return transformer


def both_supervised(
    kind: Supervision, both: Both, labelled: Labelled, other: str
) -> dict[str, Tensor]:
    """Returns `sup` of the student, and L_sup of the network beside it under its name."""
    names = "sup", other
    losses = (supervised_loss(kind, x, labelled.label, labelled.valid) for x in both.logits)
    return dict(zip(names, losses, strict=True))
