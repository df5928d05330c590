"""The pattern codebook: each token of the aligned teacher code is replaced by one of N vectors.

T tokens (all of a batch, in the order b, z, y, x), N codes, d channels (the paper's d_s and M).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vpbsd.errors import BadInput

Selection = Literal["post", "pre", "copy", "argmin", "continuous"]


class Quantised(NamedTuple):
    """What became of T tokens.

    Attributes:
        tokens: (T, d), standardised, as they came.
        vectors: (T, d), what goes on to the decoder and to the student: the paper's z'.
        chosen: (T, d), rows of the codebook at ``indices``; gradient goes to the codebook only.
        indices: (T,), the codes used.
        nearest: (T,), the closest codes; the same as ``indices`` unless noise was at work.
        weights: (T, N), one-hot; carries the straight-through gradient under Gumbel noise.
        logits: (T, N), -kappa * squared distance.
    """

    tokens: Tensor
    vectors: Tensor
    chosen: Tensor
    indices: Tensor
    nearest: Tensor
    weights: Tensor
    logits: Tensor


class Codebook(nn.Module):
    """N learned vectors and the rule that picks one for a token.

    Reference: VpbSD, eq. 8, with the sign, hardness and widths it leaves open: logits are minus
    kappa times the squared distance; selection is a hard straight-through Gumbel-softmax while
    training (Baevski et al. 2020, vq-wav2vec) and the nearest code in eval mode. Temperature is
    an argument, not state.

    Attributes:
        vectors: (N, d), the code words V.
        kappa: scalar, what squared distances are multiplied by in the logits.
        centre: (d,), mean of each channel that ``settle`` found.
        spread: (d,), its deviation, positive.
    """

    kappa: Tensor
    centre: Tensor
    spread: Tensor

    def __init__(self, size: int, width: int, kappa: float = 1.0) -> None:
        """Starts with layer-normed Gaussian rows; ``start`` replaces them by k-means centres.

        Args:
            size: N, at least 2.
            width: d.
            kappa: scale of the logits; ``calibrate_kappa`` finds one.

        Raises:
            BadInput: if there is nothing to choose from.
        """
        super().__init__()
        if size < 2:
            raise BadInput(f"a codebook of {size} codes has nothing to choose; use at least 2")
        self.vectors = nn.Parameter(_random_rows(size, width))
        self.register_buffer("kappa", torch.tensor(float(kappa)))
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))

    def tokens(self, e: Tensor, *, settled: bool = True) -> Tensor:
        """Standardises each channel over tokens; no affine.

        A fresh encoder answers all patches nearly alike, and training then drives layer-normed
        tokens together (a deviation of .001 was measured after 40 steps): the codes would have
        nothing to tell apart. Standardised by their own batch, tokens cannot all become one. No
        layer norm follows: where tokens differ along one direction, as when the first thing that
        is learned is brightness, it makes two points of that line (perplexity 2.1 of 16 with it,
        11.0 without, measured).

        Args:
            e: (B, d, z, y, x), aligned states.
            settled: By the mean and deviation that `settle` found; else by the batch's own, as
                all through pre-training. A running average is of no use there: the encoder
                drifts faster between steps than tokens differ within one (codes collapsed to 1
                of 16 at once, measured).

        Returns:
            (T, d), in full precision.
        """
        flat = self._flat(e)
        centre, spread = (self.centre, self.spread) if settled else _moments(flat)
        return (flat - centre) / spread

    @torch.no_grad()
    def settle(self, e: Tensor) -> None:
        """Fixes what tokens are standardised by from now on: the moments of these states.

        Args:
            e: (B, d, z, y, x), aligned states of as many patches as there are.
        """
        centre, spread = _moments(self._flat(e))
        self.centre.copy_(centre)
        self.spread.copy_(spread)

    def _flat(self, e: Tensor) -> Tensor:
        return e.movedim(1, -1).flatten(0, -2).to(self.vectors.dtype)

    def squared_distances(self, tokens: Tensor) -> Tensor:
        """Computes ||e - v||^2, (T, d) -> (T, N); exactly 0 where a token lies on a code."""
        # By differences: |e|^2 - 2 ev + |v|^2 would round to something else than 0 there.
        mode = "donot_use_mm_for_euclid_dist"
        return torch.cdist(tokens, self.vectors.to(tokens.dtype), compute_mode=mode).square()

    def forward(
        self,
        tokens: Tensor,
        noise: Tensor | None = None,
        tau: float = 1.0,
        mode: Selection = "post",
    ) -> Quantised:
        """Chooses a code for every token; runs in full precision under autocast too.

        Args:
            tokens: (T, d), from ``tokens``.
            noise: (T, N), from ``gumbel``; needed for ``post`` and ``pre`` while training.
            tau: temperature, positive.
            mode: while training, ``post`` and ``pre`` sample (see ``hard_gumbel``), ``copy``
                takes the nearest code and hands its gradient to the token unchanged (van den
                Oord et al. 2017), ``argmin`` takes the nearest code. In eval mode all four take
                the nearest code. ``continuous`` lets tokens pass as they are (warm-up).

        Returns:
            The record; see ``Quantised``.

        Raises:
            ValueError: if noise is needed and missing.
        """
        # What is stored and deployed must not depend on a draw.
        if not self.training and mode != "continuous":
            mode = "argmin"
        with torch.autocast(tokens.device.type, enabled=False):
            distances = self.squared_distances(tokens)
            nearest, logits = distances.argmin(1), -self.kappa * distances
            weights = self._weights(logits, nearest, noise, tau, mode)
            indices = weights.argmax(1)
            chosen = self.vectors[indices]
            vectors = self._vectors(tokens, chosen, weights, mode)
        return Quantised(tokens, vectors, chosen, indices, nearest, weights, logits)

    def _weights(
        self, logits: Tensor, nearest: Tensor, noise: Tensor | None, tau: float, mode: Selection
    ) -> Tensor:
        if mode not in ("post", "pre"):
            return F.one_hot(nearest, len(self.vectors)).to(logits)
        if noise is None:
            raise ValueError(f"mode {mode!r} samples codes: give noise of shape (T, N)")
        return hard_gumbel(logits, noise, tau, mode)

    def _vectors(self, tokens: Tensor, chosen: Tensor, weights: Tensor, mode: Selection) -> Tensor:
        if mode == "continuous":
            return tokens
        if mode == "copy":
            # The bracket is exactly 0: the value stays that of the code, bit for bit.
            return chosen.detach() + (tokens - tokens.detach())
        return chosen if mode == "argmin" else weights @ self.vectors

    @torch.no_grad()
    def start(self, tokens: Tensor, weights: Tensor, seed: int) -> None:
        """Sets the codes to the k-means centres of tokens.

        Args:
            tokens: (T, d), at least 20 N of them are advised.
            weights: (T,), valid share of each token in [0, 1]; those of 0 are left out.
            seed: of the k-means++ start.

        Raises:
            BadInput: if there are fewer distinct tokens than codes.
        """
        kept = tokens[weights > 0]
        size, distinct = len(self.vectors), len(torch.unique(kept, dim=0))
        if distinct < size:
            raise BadInput(
                f"a codebook of {size} codes cannot start from {distinct} distinct tokens; "
                "use fewer codes or more patches"
            )
        self.vectors.copy_(_centres(kept, weights[weights > 0], size, seed))

    @torch.no_grad()
    def randomise(self, generator: torch.Generator) -> None:
        """Replaces the codes by layer-normed Gaussian rows, which know nothing of any vessel."""
        size, width = self.vectors.shape
        self.vectors.copy_(_random_rows(size, width, generator))

    @torch.no_grad()
    def calibrate_kappa(
        self, tokens: Tensor, weights: Tensor | None = None, agreement: float = 0.5
    ) -> None:
        """Sets kappa so that sampled and nearest codes agree as often as asked.

        The chance that Gumbel noise leaves a token its nearest code is known in closed form, the
        softmax of the logits there, and rises with kappa: bisection finds it. It is exact for
        ``post`` at any temperature, for ``pre`` at temperature 1.

        Args:
            tokens: (T, d).
            weights: (T,), valid share of each token; all alike if not given.
            agreement: mean chance wanted, between 1/N and 1.

        Raises:
            BadInput: if no kappa gives that agreement.
        """
        distances = self.squared_distances(tokens.double())
        gaps = distances - distances.min(1, keepdim=True).values
        share = torch.ones_like(gaps[:, 0]) if weights is None else weights.double()

        def expected(kappa: float) -> float:
            stay = 1 / torch.exp(-kappa * gaps).sum(1)
            return float((stay * share).sum() / share.sum())

        low, high = 1e-8, 1e8
        if not expected(low) < agreement < expected(high):
            raise BadInput(
                f"no kappa makes sampled and nearest codes agree in {agreement:g} of draws: "
                f"{expected(low):.3f} to {expected(high):.3f} can be reached; give kappa a number"
            )
        for _ in range(60):
            middle = (low * high) ** 0.5
            low, high = (middle, high) if expected(middle) < agreement else (low, middle)
        self.kappa.fill_(high)


def gumbel(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draws standard Gumbel noise (mean .577, std 1.283) on the generator's device."""
    uniform = torch.empty(tuple(shape), device=generator.device)
    return -uniform.exponential_(generator=generator).log()


def hard_gumbel(
    logits: Tensor, noise: Tensor, tau: float, mode: Literal["post", "pre"] = "post"
) -> Tensor:
    """Chooses one-hot with the gradient of the soft choice (Jang et al. 2017, straight-through).

    softmax((l + g) / tau), rounded to its largest entry in the forward pass (VpbSD, eq. 8).

    Args:
        logits: (T, N).
        noise: (T, N), standard Gumbel.
        tau: temperature, positive.
        mode: ``post`` divides after the noise was added, argmax(l + g): the temperature shapes
            the gradient only. ``pre`` divides before, argmax(l / tau + g): cold is greedy.

    Returns:
        (T, N), one-hot in value.

    >>> hard_gumbel(torch.tensor([[0.0, 2.0, 1.0]]), torch.tensor([[0.0, 0.0, 3.0]]), tau=1.0)
    tensor([[0., 0., 1.]])
    """
    noisy = logits + noise if mode == "post" else logits / tau + noise
    soft = torch.softmax(noisy / tau if mode == "post" else noisy, dim=1)
    hard = F.one_hot(noisy.argmax(1), noisy.shape[1]).to(soft)
    return hard + (soft - soft.detach())


def _random_rows(size: int, width: int, generator: torch.Generator | None = None) -> Tensor:
    return F.layer_norm(torch.randn(size, width, generator=generator), (width,))


def _moments(flat: Tensor) -> tuple[Tensor, Tensor]:
    """Computes mean and deviation of each channel, (T, d) -> (d,) and (d,); no deviation is 0."""
    return flat.mean(0), flat.std(0, correction=0).clamp_min(1e-5)


def _centres(tokens: Tensor, weights: Tensor, size: int, seed: int) -> Tensor:
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    means = KMeans(size, n_init=1, random_state=seed)
    with threadpool_limits(1):  # several threads add up in no fixed order
        means.fit(tokens.double().cpu().numpy(), sample_weight=weights.double().cpu().numpy())
    return torch.from_numpy(means.cluster_centers_)
