"""Chaitanya's global contrast G^D: slices of one slab attract, across volumes and views.

Chaitanya et al. 2020, Contrastive learning of global and local features for medical image
segmentation with limited annotations; numbers as in the authors' code (P = 4, tau = .1, a head
without biases). There slices are 2-D inputs along the axis of acquisition; here they are slices
along z of the encoder's state. Of three views two have other intensities; a crop would move the
slabs. The local contrast of their decoder is left out.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from vpbsd.data.augment import intensity_shifted
from vpbsd.data.patches import Pool, Unlabelled, draw_corresponding
from vpbsd.evaluation.codebook_health import StageSummary
from vpbsd.evaluation.feature_pictures import show_features
from vpbsd.losses.slices import slab_contrast, slab_places, take_slices
from vpbsd.losses.weighting import token_share
from vpbsd.methods.method import Clock, Method
from vpbsd.methods.pretraining_configs import ChaitanyaConfig
from vpbsd.networks.build import build_network
from vpbsd.networks.heads import train_only
from vpbsd.networks.sliced_state import level_of
from vpbsd.networks.swin_unetr import SwinTeacher, makers
from vpbsd.random_streams import generator, initialising

VIEWS = 3


@final
class Chaitanya(Method[Unlabelled]):
    """A teacher's encoder and a projection head."""

    draws = draw_corresponding

    def __init__(self, config: ChaitanyaConfig, seed: int) -> None:
        super().__init__()
        self.config, self.seed = config, seed
        network = build_network(config.network, seed)
        assert isinstance(network, SwinTeacher)
        depth, height, width = config.patch
        self.network, self.level = network, level_of([depth], config.partitions)
        train_only(network, makers(self.level))
        side = 2 << self.level
        channels = config.network.feature_size << self.level
        flat = channels * (height // side) * (width // side)
        with initialising(seed, "projection"):
            self.project = nn.Sequential(
                nn.Linear(flat, config.hidden, bias=False),
                nn.ReLU(),
                nn.Linear(config.hidden, config.width, bias=False),
            )

    @property
    def deliverable(self) -> nn.Module:
        """The teacher, its encoder pre-trained."""
        return self.network

    def losses(self, batch: Unlabelled, clock: Clock) -> dict[str, Tensor]:
        """Returns `global`: G^D over the slices of all volumes and views."""
        image, slabs = batch.image, self.config.partitions
        stream = generator(self.seed, "views", clock.step)
        views = [image, *(intensity_shifted(image, stream) for _ in range(VIEWS - 1))]
        state = self.network.encode(torch.cat(views))[self.level]
        valid = token_share(batch.valid, state.shape[2:]).repeat(VIEWS, 1, 1, 1, 1)
        places = slab_places(state.shape[2], slabs, len(image), stream).repeat(VIEWS, 1)
        slices, weight = take_slices(state, valid, 0, places)
        z = self.project(slices.flatten(0, 1))
        slab = torch.arange(slabs, device=z.device).repeat(len(state))
        return {"global": slab_contrast(z, slab, weight.flatten(), self.config.tau)}

    def examine(self, pool: Pool) -> StageSummary:
        """Shows what the encoder's state tells apart."""
        self.eval()
        return show_features(lambda x: self.network.encode(x)[self.level], pool, self.network)

    def weights(self, clock: Clock) -> dict[str, float]:
        """Returns 1."""
        return {"global": 1.0}
