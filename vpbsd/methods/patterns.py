"""VpbSD's first stage: the teacher learns vessel patterns by rebuilding unlabelled patches.

L_pre = L_rec + alpha * L_cb (S0 eq. 5-9). Skips are dropped at random, or the decoder would copy
the input past the codebook; the first steps run un-quantised and k-means then starts the codebook,
or it collapses to a few codes.
"""

from __future__ import annotations

from typing import ClassVar, Literal, final

import torch
from pydantic import Field
from torch import Tensor, nn

from vpbsd.config import Codebook as CodebookConfig
from vpbsd.config import Section, SwinNet
from vpbsd.data.patches import Pool, Unlabelled, draw_unlabelled
from vpbsd.examine import Findings, examine_codebook, settle_codebook
from vpbsd.losses.codebook import codebook_loss
from vpbsd.losses.schedule import temperature
from vpbsd.losses.segmentation import reconstruction_loss, shrunk
from vpbsd.losses.weighting import token_share
from vpbsd.methods.method import Clock, Method
from vpbsd.networks.alignment import ChannelSelection
from vpbsd.networks.build import build_network
from vpbsd.networks.codebook import Selection, gumbel, histogram, perplexity
from vpbsd.networks.swin_unetr import SKIPS, SwinTeacher
from vpbsd.randomness import generator

TOKENS_PER_CODE = 20
"""k-means starts from this many recent tokens per code word."""

UNTRAINED = {1: ("net.out",), 2: ("net.out", "net.encoder1", "net.decoder1")}
"""What is left to fine-tuning: the segmentation head and, at half the resolution, the full one."""


class PatternsConfig(Section):
    """The teacher with its codebook, and the weights of pre-training."""

    numerics: ClassVar[int] = 2
    name: Literal["patterns"] = "patterns"
    network: SwinNet
    alpha: float = Field(0.1, ge=0)
    reconstruction: Literal["mse", "l1"] = "mse"
    skip_drop: float = Field(0.5, ge=0, le=1)
    """Chance that a sample loses all its skips; 0 lets the decoder bypass the codebook.

    All at once: dropped one by one, all five are gone in 1 of 32 samples only, and after 200
    steps the codes carried nothing (bypass gap -6e-6 of .058, measured on the phantom).
    """

    rebuilt_at: Literal[1, 2] = 1
    """2: half the resolution is rebuilt, at a third of the cost on a CPU. Where all skips are
    dropped little is lost: a code stands for 32 x 32 x 32 voxels and says nothing of single ones.
    """

    def build(self, seed: int) -> Patterns:
        """The method with its teacher initialised from the seed."""
        return Patterns(self, seed)

    def warm_steps(self, total: int) -> int:
        """Steps without quantisation."""
        return max(1, round(self.book.warm * total))

    @property
    def book(self) -> CodebookConfig:
        """The codebook, which this method cannot do without."""
        if self.network.codebook is None:
            raise ValueError("pre-training with patterns needs a network with a codebook")
        return self.network.codebook


@final
class Patterns(Method[Unlabelled]):
    """A teacher, its codebook, and the tokens seen lately."""

    draws = draw_unlabelled
    recent: Tensor
    recent_share: Tensor
    seen: Tensor
    used_nearest: Tensor
    used_sampled: Tensor

    def __init__(self, config: PatternsConfig, seed: int) -> None:
        super().__init__()
        self.config, self.seed = config, seed
        teacher = build_network(config.network, seed)
        assert isinstance(teacher, SwinTeacher)
        assert teacher.quantiser is not None
        self.teacher, self.codebook = teacher, teacher.quantiser.codebook
        for part in UNTRAINED[config.rebuilt_at]:
            teacher.get_submodule(part).requires_grad_(False)
        book, kept = config.book, TOKENS_PER_CODE * config.book.size
        self.register_buffer("recent", torch.zeros(kept, book.width))
        self.register_buffer("recent_share", torch.zeros(kept))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("used_nearest", torch.zeros(book.size, dtype=torch.float64))
        self.register_buffer("used_sampled", torch.zeros(book.size, dtype=torch.float64))

    @property
    def deliverable(self) -> nn.Module:
        """The teacher with its codebook."""
        return self.teacher

    def losses(self, batch: Unlabelled, clock: Clock) -> dict[str, Tensor]:
        """`rec` over valid voxels and, once quantised, `cb` over valid tokens."""
        quantiser = self.teacher.quantiser
        assert quantiser is not None
        hidden = self.teacher.encode(batch.image)
        if clock.step == 0:
            self._start_head(batch)
        z, share = hidden[-1], token_share(batch.valid, hidden[-1].shape[2:]).flatten()
        if clock.step == 0 and isinstance(quantiser.dn, ChannelSelection):
            quantiser.dn.select(z.detach().float().var((0, 2, 3, 4)))
        tau = self._temperature(clock)
        noise, mode = self._noise(len(share), clock), self._mode(clock)
        u, record = quantiser(z, noise, tau, mode, settled=False)
        keep, scale = self._keep(len(z), clock), self.config.rebuilt_at
        rebuilt = self.teacher.reconstruct(batch.image, hidden, u, keep, scale)
        image, valid = shrunk(batch.image, batch.valid, scale)
        rec = reconstruction_loss(image, rebuilt, valid, self.config.reconstruction)
        if self._warming(clock):
            self._remember(record.tokens.detach(), share)
            return {"rec": rec}
        self._count(record.nearest, record.indices, share, clock)
        commitment = self.config.book.commitment
        return {"rec": rec, "cb": codebook_loss(record.tokens, record.chosen, commitment, share)}

    def weights(self, clock: Clock) -> dict[str, float]:
        """1 and, once quantised, alpha."""
        return {"rec": 1.0} if self._warming(clock) else {"rec": 1.0, "cb": self.config.alpha}

    def after_step(self, clock: Clock) -> None:
        """Ends the warm-up: k-means on the recent tokens, then kappa."""
        if clock.step + 1 != self.config.warm_steps(clock.total_steps):
            return
        kept = int(self.seen.clamp(max=len(self.recent)))
        tokens, share = self.recent[:kept], self.recent_share[:kept]
        self.codebook.start(tokens, share, self.seed)
        if self.config.book.kappa == "auto":
            self.codebook.calibrate_kappa(tokens, share)
            self.codebook.kappa *= self.config.book.kappa_factor

    def readings(self, clock: Clock) -> dict[str, float]:
        """Temperature, kappa and, once quantised, how many codes the epoch used."""
        read = {"tau": self._temperature(clock), "kappa": float(self.codebook.kappa)}
        if self.used_nearest.sum() > 0:
            read["perplexity/argmin"] = perplexity(self.used_nearest)
            read["perplexity/sampled"] = perplexity(self.used_sampled)
        return read

    def examine(self, pool: Pool) -> Findings:
        """Settles the codebook, then looks whether it is alive; void if it is not."""
        assert pool.unlabelled is not None
        settle_codebook(self.teacher, pool.unlabelled.patches)
        patches, skips = pool.unlabelled.patches, self.config.skip_drop < 1
        return examine_codebook(self.teacher, patches, self.config.rebuilt_at, skips=skips)

    @torch.no_grad()
    def _start_head(self, batch: Unlabelled) -> None:
        """The head begins at the mean brightness, with a tenth of its weights.

        Else the first steps teach a dark data set's decoder to answer with a constant, and it
        never leaves it: bypass gap 0.0000 of .0184 on real volumes, .0050 of .0211 with this.
        """
        head, seen = self.teacher.reconstruction, batch.valid.sum().clamp_min(1)
        assert head.bias is not None
        head.weight.mul_(0.1)
        head.bias.fill_(float((batch.image * batch.valid).sum() / seen))

    def _warming(self, clock: Clock) -> bool:
        return clock.step < self.config.warm_steps(clock.total_steps)

    def _mode(self, clock: Clock) -> Selection:
        if self._warming(clock):
            return "continuous"
        return "copy" if self.config.book.straight_through == "copy" else self.config.book.noise

    def _temperature(self, clock: Clock) -> float:
        book = self.config.book
        start, floor, share = book.tau_start, book.tau_floor, book.tau_share
        return temperature(clock.step, clock.total_steps, start, floor, share)

    def _noise(self, tokens: int, clock: Clock) -> Tensor:
        shape = (tokens, self.config.book.size)
        return gumbel(shape, generator(self.seed, "gumbel", clock.step)).to(self.recent.device)

    def _keep(self, samples: int, clock: Clock) -> Tensor:
        draw = torch.rand(samples, 1, generator=generator(self.seed, "skips", clock.step))
        keep = (draw >= self.config.skip_drop).float().to(self.recent.device)
        return keep.expand(samples, SKIPS)

    def _remember(self, tokens: Tensor, share: Tensor) -> None:
        """Writes tokens into the ring of recent ones."""
        at = (self.seen + torch.arange(len(tokens), device=tokens.device)) % len(self.recent)
        self.recent[at], self.recent_share[at] = tokens, share
        self.seen += len(tokens)

    def _count(self, nearest: Tensor, sampled: Tensor, share: Tensor, clock: Clock) -> None:
        """Adds to the epoch's usage; a new epoch starts anew."""
        if clock.step % clock.steps_per_epoch == 0:
            self.used_nearest.zero_()
            self.used_sampled.zero_()
        self.used_nearest += histogram(nearest, len(self.used_nearest), share)
        self.used_sampled += histogram(sampled, len(self.used_sampled), share)
