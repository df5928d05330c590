"""S2DC: L = w_g L_g + w_p2p L_p2p + w_p2s L_p2s, on a region seen twice (S2 eq. 9).

Pan et al. 2025, Structure-aware semantic discrepancy and consistency for 3D medical image
self-supervised learning. The student sees a region of 2 x 2 crops, its moving average the same
region moved by a known affine map: tokens of 16^3 voxels that show one place are to match, others
not. Globally, a crop is to be known again under other intensities. `form=code` takes the losses of
the authors' code. What was decided where both are silent: docs/pretraining.md.
"""

from __future__ import annotations

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vpbsd.data.augment import intensity_shifted
from vpbsd.data.patches import Pool, Unlabelled, draw_unlabelled
from vpbsd.evaluation.codebook_health import StageSummary
from vpbsd.evaluation.feature_pictures import show_features
from vpbsd.losses.matching import queue_contrast
from vpbsd.losses.weighting import weighted_mean
from vpbsd.methods.method import Clock, Method
from vpbsd.methods.pretraining_configs import S2dcConfig
from vpbsd.methods.regions import Pair, cropped, moved, pairs_of
from vpbsd.methods.token_matching import matching_losses, matching_readings
from vpbsd.methods.tokens import RecentTokens
from vpbsd.networks.branch import LEVEL, Branch
from vpbsd.networks.build import build_network
from vpbsd.networks.heads import train_only
from vpbsd.networks.projectors import Projector
from vpbsd.networks.roles import Ema
from vpbsd.networks.swin_unetr import SwinTeacher, makers
from vpbsd.random_streams import generator, initialising


@final
class S2dc(Method[Unlabelled]):
    """A teacher's encoder, two heads, the moving average of all, and the keys of earlier crops."""

    draws = draw_unlabelled

    def __init__(self, config: S2dcConfig, seed: int) -> None:
        super().__init__()
        self.config, self.seed = config, seed
        network = build_network(config.network, seed)
        assert isinstance(network, SwinTeacher)
        self.network = network
        train_only(network, makers(4 if config.global_weight else LEVEL))
        c, widths = config.network.feature_size, (config.hidden, config.width)
        with initialising(seed, "heads"):
            self.patch = Projector(8 * c, *widths) if config.matches else None
            self.crop = Projector(16 * c, *widths) if config.global_weight else None
        self.mean = Ema(self.branch, config.decay)
        self.keys = RecentTokens(config.keys, config.width)
        self.newest: list[Pair] = []

    @property
    def branch(self) -> Branch:
        """The student, in the form that the average is kept in."""
        return Branch(self.network.net.swinViT, self.patch, self.crop)

    @property
    def deliverable(self) -> nn.Module:
        """The teacher, its encoder pre-trained."""
        return self.network

    def losses(self, batch: Unlabelled, clock: Clock) -> dict[str, Tensor]:
        """Returns `global`, `p2p` and `p2s`, those that have a weight."""
        tokens, key = self.branch(cropped(batch.image))
        terms: dict[str, Tensor] = {}
        if tokens is not None:
            other = moved(batch, self.seed, clock.step)
            there = self.mean(cropped(other.image), key=False).tokens
            pairs = pairs_of(tokens, there, batch, other)
            terms |= matching_losses(self.config, pairs)
            self.newest = [Pair(*(x.detach() for x in pair)) for pair in pairs]
        if key is not None:
            terms["global"] = self._known_again(key, batch, clock)
        return {name: terms[name] for name in self.weights(clock)}

    def weights(self, clock: Clock) -> dict[str, float]:
        """Returns the weights that are not 0."""
        c = self.config
        every = {"global": c.global_weight, "p2p": c.p2p_weight, "p2s": c.p2s_weight}
        return {name: weight for name, weight in every.items() if weight}

    def after_step(self, clock: Clock) -> None:
        """Moves the average; the first step makes it a copy of the student."""
        self.mean.update(self.branch, clock.step)

    def readings(self, clock: Clock) -> dict[str, float]:
        """Returns how the newest step's tokens matched."""
        return matching_readings(self.newest)

    def examine(self, pool: Pool) -> StageSummary:
        """Shows what the encoder's tokens tell apart."""
        self.eval()
        return show_features(lambda x: self.network.encode(x)[LEVEL], pool, self.network)

    def _known_again(self, query: Tensor, batch: Unlabelled, clock: Clock) -> Tensor:
        """Computes L_g (eq. 1): each crop's key under other intensities, against other crops'."""
        crops, share = cropped(batch.image), cropped(batch.valid).amax((1, 2, 3, 4))
        views = intensity_shifted(crops, generator(self.seed, "views", clock.step)), crops
        positive, plain = (self.mean(view, tokens=False).key for view in views)
        if self.config.form == "paper":
            query, positive, plain = (
                F.normalize(x.float(), dim=1) for x in (query, positive, plain)
            )
        old, old_share = (kept.clone() for kept in self.keys.newest())
        others = ~torch.eye(len(plain), dtype=torch.bool, device=plain.device) & (share > 0)
        allowed = torch.cat([others, (old_share > 0).expand(len(plain), -1)], 1)
        loss = queue_contrast(query, positive, torch.cat([plain, old]), allowed, self.config.tau)
        self.keys.add(plain.float(), share)
        return weighted_mean(loss, share)
