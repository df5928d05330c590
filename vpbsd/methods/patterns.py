"""VpbSD's first stage: the teacher learns vessel patterns by rebuilding unlabelled patches.

L_pre = L_rec + alpha * L_cb (S0 eq. 5-9). Skips are dropped at random, or the decoder would copy
the input past the codebook; the first steps run un-quantised and k-means then starts the codebook,
or it collapses to a few codes.
"""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from vpbsd.data.patches import Pool, Unlabelled, draw_unlabelled
from vpbsd.distributed import gather, own_slice, rescale_mean
from vpbsd.evaluation.codebook_health import StageSummary, examine_codebook, settle_codebook
from vpbsd.losses.codebook import codebook_loss
from vpbsd.losses.schedule import temperature
from vpbsd.losses.segmentation import reconstruction_loss, shrunk
from vpbsd.losses.weighting import token_share
from vpbsd.methods.configs import PatternsConfig
from vpbsd.methods.method import Clock, Method
from vpbsd.methods.skips import kept_skips
from vpbsd.methods.tokens import RecentTokens, Usage
from vpbsd.networks.alignment import ChannelSelection
from vpbsd.networks.build import build_network
from vpbsd.networks.codebook import Selection, gumbel
from vpbsd.networks.swin_unetr import SwinTeacher
from vpbsd.random_streams import generator

UNTRAINED = {1: ("net.out",), 2: ("net.out", "net.encoder1", "net.decoder1")}
"""What is left to fine-tuning: the segmentation head and, at half the resolution, the full one."""


@final
class Patterns(Method[Unlabelled]):
    """A teacher, its codebook, and the tokens seen lately."""

    draws = draw_unlabelled
    spans = True

    def __init__(self, config: PatternsConfig, seed: int) -> None:
        super().__init__()
        self.config, self.seed = config, seed
        teacher = build_network(config.network, seed)
        assert isinstance(teacher, SwinTeacher)
        assert teacher.quantiser is not None
        self.teacher, self.codebook = teacher, teacher.quantiser.codebook
        for part in UNTRAINED[config.rebuilt_at]:
            teacher.get_submodule(part).requires_grad_(False)
        book = config.book
        self.recent = RecentTokens(book.start_tokens, book.width)
        self.usage = Usage(book.size)

    @property
    def deliverable(self) -> nn.Module:
        """The teacher with its codebook."""
        return self.teacher

    def losses(self, batch: Unlabelled, clock: Clock) -> dict[str, Tensor]:
        """Returns `rec` over valid voxels and, once quantised, `cb` over valid tokens.

        Several processes quantise the tokens of all of them, so moments, k-means and usage are
        those of the whole batch; each rebuilds its own patches.
        """
        quantiser = self.teacher.quantiser
        assert quantiser is not None
        hidden = self.teacher.encode(batch.image)
        if clock.step == 0:
            self.teacher.start_head(gather(batch.image), gather(batch.valid))
        z = gather(self.teacher.coded_state(hidden))
        share = gather(token_share(batch.valid, z.shape[2:])).flatten()
        if clock.step == 0 and isinstance(quantiser.dn, ChannelSelection):
            quantiser.dn.select(z.detach().float().var((0, 2, 3, 4)))
        tau = self._temperature(clock)
        noise, mode = self._noise(len(share), clock), self._mode(clock)
        u, record = quantiser(z, noise, tau, mode, settled=False)
        mine, scale = own_slice(len(z)), self.config.rebuilt_at
        keep = kept_skips(batch.image, self.config.skip_drop, self.seed, clock)
        rebuilt = self.teacher.reconstruct(batch.image, hidden, u[mine], keep, scale)
        image, valid = shrunk(batch.image, batch.valid, scale)
        rec = rescale_mean(
            reconstruction_loss(image, rebuilt, valid, self.config.reconstruction), valid
        )
        if self._warming(clock):
            self.recent.add(record.tokens.detach(), share)
            return {"rec": rec}
        if clock.step % clock.steps_per_epoch == 0:
            self.usage.clear()
        self.usage.add(record.nearest, record.indices, share)
        commitment = self.config.book.commitment
        return {"rec": rec, "cb": codebook_loss(record.tokens, record.chosen, commitment, share)}

    def weights(self, clock: Clock) -> dict[str, float]:
        """Returns 1 and, once quantised, alpha."""
        return {"rec": 1.0} if self._warming(clock) else {"rec": 1.0, "cb": self.config.alpha}

    def after_step(self, clock: Clock) -> None:
        """Ends the warm-up: k-means on the recent tokens, then kappa."""
        if clock.step + 1 != self.config.warm_steps(clock.total_steps):
            return
        tokens, share = self.recent.newest()
        self.codebook.start(tokens, share, self.seed)
        if self.config.book.kappa == "auto":
            self.codebook.calibrate_kappa(tokens, share)
            self.codebook.kappa *= self.config.book.kappa_factor

    def readings(self, clock: Clock) -> dict[str, float]:
        """Returns temperature, kappa and, once quantised, how many codes the epoch used."""
        kappa = float(self.codebook.kappa)
        return {"tau": self._temperature(clock), "kappa": kappa, **self.usage.readings()}

    def examine(self, pool: Pool) -> StageSummary:
        """Settles the codebook, then looks whether it is alive; void if it is not."""
        assert pool.unlabelled is not None
        settle_codebook(self.teacher, pool.unlabelled.patches)
        patches, skips = pool.unlabelled.patches, self.config.skip_drop < 1
        return examine_codebook(self.teacher, patches, self.config.rebuilt_at, skips=skips)

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
        noise = gumbel(shape, generator(self.seed, "gumbel", clock.step))
        return noise.to(self.codebook.vectors.device)
