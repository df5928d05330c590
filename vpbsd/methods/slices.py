"""What pre-trainings by slices share: the encoder's phase, then the decoder's, all three axes.

Stagewise as in S4: slices of the encoder's state Z first, then slices of the vessel probability;
each step takes all axes and steps down the mean of their losses. The paper trains each phase until
its objective stands still; here both have a share of one budget, as every pre-training has, and
when they stood still is logged.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from vpbsd.data.patches import Pool, Unlabelled, draw_corresponding
from vpbsd.evaluation.codebook_health import StageSummary
from vpbsd.evaluation.feature_pictures import show_features
from vpbsd.losses.classes import by_class
from vpbsd.losses.segmentation import vessel_probability
from vpbsd.losses.slices import slab_places, slice_similarities, take_slices, triplet_readings
from vpbsd.losses.weighting import token_share
from vpbsd.methods.convergence import Convergence
from vpbsd.methods.method import Clock, Method
from vpbsd.methods.pretraining_configs import ComparativeConfig, ContrastiveConfig
from vpbsd.networks.build import build_network
from vpbsd.networks.sliced_state import sliced_state
from vpbsd.networks.swin_unetr import SwinTeacher
from vpbsd.networks.unetr import Unetr
from vpbsd.random_streams import generator

C = TypeVar("C", ComparativeConfig, ContrastiveConfig)


class SlicePretraining(Method[Unlabelled], Generic[C]):
    """A Swin UNETR or UNETR, and a loss on the cosines of slices of different volumes."""

    draws = draw_corresponding

    config: C

    def __init__(self, config: C, seed: int) -> None:
        super().__init__()
        network = build_network(config.network, seed)
        assert isinstance(network, SwinTeacher | Unetr)
        if isinstance(network, SwinTeacher):
            network.reconstruction.requires_grad_(False)
        self.config, self.seed, self.network = config, seed, network
        self.latent, self.mask = Convergence(), Convergence()
        self.newest: tuple[Tensor, Tensor] | None = None

    @property
    def deliverable(self) -> nn.Module:
        """The network."""
        return self.network

    def losses(self, batch: Unlabelled, clock: Clock) -> dict[str, Tensor]:
        """Returns `latent`, the loss on slices of Z, or `mask`: means over axes and classes."""
        latent, stream = self._encoding(clock), generator(self.seed, "slices", clock.step)
        volumes = self._state(batch.image) if latent else self._classes(batch.image)
        slabs, grid, terms = self.config.partitions, volumes[0].shape[2:], []
        valid = token_share(batch.valid, grid)
        for axis, count in enumerate(grid):
            if count >= slabs:
                places = slab_places(count, slabs, len(valid), stream)
                for volume in volumes:
                    slices, weight = take_slices(volume, valid, axis, places)
                    terms.append(self.loss(s := slice_similarities(slices), weight))
        self.newest = s.detach(), weight
        mean = torch.stack(terms).mean()
        (self.latent if latent else self.mask).add(mean)
        return {"latent" if latent else "mask": mean}

    def weights(self, clock: Clock) -> dict[str, float]:
        """Returns 1 for the phase that runs."""
        return {"latent" if self._encoding(clock) else "mask": 1.0}

    def readings(self, clock: Clock) -> dict[str, float]:
        """Returns similarities of the newest step's last axis, and when each phase stood still."""
        still = {"still/latent": self.latent.step, "still/mask": self.mask.step}
        seen = triplet_readings(*self.newest) if self.newest else {}
        return seen | {name: float(step) for name, step in still.items() if step is not None}

    def examine(self, pool: Pool) -> StageSummary:
        """Shows what the encoder's state tells apart."""
        self.eval()
        return show_features(lambda x: self._state(x)[0], pool, self.network)

    @abstractmethod
    def loss(self, s: Tensor, weight: Tensor) -> Tensor:
        """Computes the loss from cosines (M, M, P, P) and the weights of slices (M, P)."""

    def _encoding(self, clock: Clock) -> bool:
        return clock.step < max(1, round(self.config.encoder_share * clock.total_steps))

    def _state(self, image: Tensor) -> tuple[Tensor]:
        return (sliced_state(self.network.encode(image), self.config.partitions),)

    def _classes(self, image: Tensor) -> tuple[Tensor, ...]:
        return by_class(vessel_probability(self.network(image).logits))
