"""SimCVD: a student and its average contrast slices of boundary-aware volumes (You et al. 2022).

L = L_sup + ramp(t) * (lambda L_contrast + beta L_pd + gamma L_con), eq. 6. Both networks guess
vessel probability Q and a signed distance map; L_sup is cross entropy and Dice on labels, with
alpha times the squared error of the map (eq. 1). On unlabelled patches X, with noise of its own
for each: slices of X + map are turned to vectors under two dropout masks, and the same slice is
the positive (eq. 2-3); tokens of the encoder are told apart by those of the average (eq. 4); both
outputs are to agree (eq. 5). Decisions are in docs/rivals.md. Q and maps are (B, K, D, H, W).
"""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor, nn

from vpbsd.data.patches import Semi, Unlabelled
from vpbsd.losses.agreement import consistency_loss
from vpbsd.losses.boundary import distance_loss
from vpbsd.losses.contrast import info_nce, pairwise_loss
from vpbsd.losses.segmentation import supervised_loss, vessel_probability
from vpbsd.losses.weighting import token_share, weighted_mean
from vpbsd.methods.method import Clock
from vpbsd.methods.rival_configs import SimCVDConfig
from vpbsd.methods.semi import inpainted, perturbed, ramped_weight
from vpbsd.methods.student import StudentMethod, resized
from vpbsd.networks.boundary_heads import DistanceHead, SliceProjector, draw_slices, slices_of
from vpbsd.networks.build import finest_width
from vpbsd.networks.roles import Ema
from vpbsd.random_streams import drawing, generator, initialising


class View(NamedTuple):
    """Q and, if any, the distance maps; tokens (B, c, d, h, w); slices (n, 128)."""

    maps: list[Tensor]
    tokens: Tensor
    slices: Tensor | None


@final
class SimCVD(StudentMethod[SimCVDConfig]):
    """A student with two heads that are dropped afterwards, and the average of all three."""

    def __init__(self, config: SimCVDConfig, seed: int) -> None:
        super().__init__(config, seed)
        self.simcvd, network = config.simcvd, config.network
        with initialising(seed, "boundary heads"):
            self.heads = nn.ModuleDict()
            if self.simcvd.needs_distances:
                self.heads["distance"] = DistanceHead(finest_width(network), network.classes)
            if self.simcvd.contrast:
                dropout = self.simcvd.dropout if self.simcvd.views == "dropout" else 0.0
                projector = SliceProjector(self.simcvd.pool, self.simcvd.pooling, dropout)
                self.heads["slices"] = projector
        self.mean = Ema(self.student, self.simcvd.decay)
        self.mean_heads = Ema(self.heads, self.simcvd.decay)

    def losses(self, batch: Semi, clock: Clock) -> dict[str, Tensor]:
        """Returns `sup`, `sdm`, and `contrast`, `pairwise`, `cons`: those that have a weight."""
        labelled, unlabelled = batch
        with drawing(self.seed, "dropout", clock.step):
            answer = self.student(labelled.image)
            sup = supervised_loss(self.config.sup, answer.logits, labelled.label, labelled.valid)
            terms = {"sup": sup}
            if self.simcvd.sdm and self.simcvd.alpha:
                guess, clip = self.heads["distance"](answer), self.simcvd.clip
                terms["sdm"] = distance_loss(guess, labelled.label, labelled.valid, clip)
            if not self.simcvd.weights:
                return terms
            assert unlabelled is not None, "unlabelled patches come with the batch"
            draw = generator(self.seed, "slices", clock.step)
            chosen = draw_slices(unlabelled.valid, self.simcvd.slices, draw)
            ours = self._view("student", unlabelled, chosen, clock)
            with torch.no_grad():
                theirs = self._view("average", unlabelled, chosen, clock)
        return terms | self._agreement(ours, theirs, unlabelled.valid)

    def weights(self, clock: Clock) -> dict[str, float]:
        """Returns 1, alpha, and ramped lambda, beta and gamma."""
        share = self.simcvd.ramp_share
        ramped = {n: ramped_weight(clock, w, share) for n, w in self.simcvd.weights.items()}
        sdm = {"sdm": self.simcvd.alpha} if self.simcvd.sdm and self.simcvd.alpha else {}
        return {"sup": 1.0, **sdm, **ramped}

    def after_step(self, clock: Clock) -> None:
        """Moves the averages; the first step makes them copies."""
        self.mean.update(self.student, clock.step)
        self.mean_heads.update(self.heads, clock.step)

    def _view(self, whose: str, patches: Unlabelled, chosen: Tensor, clock: Clock) -> View:
        parts = (self.student, self.heads), (self.mean.inner, self.mean_heads.inner)
        network, heads = parts[0] if whose == "student" else parts[1]
        stream = generator(self.seed, f"view of the {whose}", clock.step)
        image = perturbed(patches.image, self.simcvd.noise, stream)
        if self.simcvd.views == "inpainting":
            image = inpainted(image, stream)
        answer = network(image)
        maps = [vessel_probability(answer.logits)]
        if "distance" in heads:
            maps.append(heads["distance"](answer).float())
        tokens, slices = resized(answer.stages[3], patches.valid, 4), None
        if "slices" in heads:  # of X + the map of the nearest class
            near = maps[1].amin(1, True) if len(maps) > 1 else maps[0].sum(1, True)
            aware = (patches.image + near) * patches.valid
            slices = heads["slices"](slices_of(aware, chosen))
        return View(maps, tokens, slices)

    def _agreement(self, ours: View, theirs: View, valid: Tensor) -> dict[str, Tensor]:
        terms = {}
        if ours.slices is not None and theirs.slices is not None:
            terms["contrast"] = info_nce(theirs.slices, ours.slices, self.simcvd.temperature)
        if self.simcvd.pairwise:
            share = token_share(valid, tuple(ours.tokens.shape[2:]))
            terms["pairwise"] = pairwise_loss(ours.tokens, theirs.tokens, share)
        if self.simcvd.consistency:
            pairs = zip(ours.maps[1:], theirs.maps[1:], strict=True)
            errors = [weighted_mean((a - b).square(), valid) for a, b in pairs]
            agreed = consistency_loss(ours.maps[0], theirs.maps[0], valid)
            terms["cons"] = torch.stack([agreed, *errors]).mean()
        return terms
