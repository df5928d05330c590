"""Supervised training with the Dice loss: baselines, references and the teacher's fine-tuning.

VpbSD (S0) eq. 7, with 1 - Dice as the loss. Source: section 3.3.2 and the Light UNet of 4.1.2.
"""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from vpbsd.data.patches import Labelled, Pool, draw_labelled
from vpbsd.evaluation.codebook_health import StageSummary, start_codebook
from vpbsd.losses.segmentation import dice_loss, vessel_probability
from vpbsd.methods.configs import SupervisedConfig
from vpbsd.methods.method import Clock, Method
from vpbsd.methods.skips import kept_skips
from vpbsd.networks.build import build_network
from vpbsd.networks.output import SegOutput
from vpbsd.networks.swin_unetr import SwinTeacher


@final
class Supervised(Method[Labelled]):
    """One network, one loss."""

    draws = draw_labelled

    def __init__(self, config: SupervisedConfig, seed: int) -> None:
        super().__init__()
        self.config, self.seed = config, seed
        self.network = build_network(config.network, seed)
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(not name.startswith(config.frozen))

    @property
    def deliverable(self) -> nn.Module:
        """The network."""
        return self.network

    def losses(self, batch: Labelled, clock: Clock) -> dict[str, Tensor]:
        """Returns `sup`: Dice loss over the valid voxels of the batch."""
        logits = self._answer(batch.image, clock).logits
        return {"sup": dice_loss(vessel_probability(logits), batch.label, batch.valid)}

    def weights(self, clock: Clock) -> dict[str, float]:
        """Returns 1."""
        return {"sup": 1.0}

    def _answer(self, image: Tensor, clock: Clock) -> SegOutput:
        chance = self.config.skip_drop
        dropped = (kept_skips(image, chance, self.seed, clock),) if chance else ()
        answer: SegOutput = self.network(image, *dropped)
        return answer

    def examine(self, pool: Pool) -> StageSummary:
        """Starts the codebook of a teacher that had no pre-training; else nothing to look at."""
        if not self.config.starts_codebook:
            return StageSummary()
        assert isinstance(self.network, SwinTeacher)
        assert pool.labelled is not None
        return start_codebook(self.network, pool.labelled.patches, self.seed)
