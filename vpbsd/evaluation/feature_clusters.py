"""Do an encoder's tokens lie together by what they show? t-SNE by label, and its silhouette.

S2DC (Pan et al. 2025) judges pre-trainings so. Beside the pictures of `feature_pictures`, which
need no label; here labelled patches are looked at, so it is done where a teacher is fine-tuned,
of its encoder before and after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from vpbsd.data.lattice import PatchSet
from vpbsd.evaluation.codebook_health import StageSummary
from vpbsd.evaluation.pictures import Picture, drawn
from vpbsd.losses.weighting import token_share
from vpbsd.networks.branch import LEVEL
from vpbsd.networks.swin_unetr import SwinTeacher
from vpbsd.random_streams import permutation

MOST_PATCHES, MOST_TOKENS = 32, 400
LEAST = 3  # tokens of a class, or it has no cluster
REAL = 0.5  # share of a token's cell that must be image
PERPLEXITY = 30.0
COLOURS = ("#999999", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#F0E442", "#56B4E9")
"""Of the background, then of classes, in turn (Okabe and Ito)."""


class Labelled(NamedTuple):
    """Tokens (T, c) and the class of each, (T,); 0 is the background."""

    tokens: NDArray[np.float32]
    classes: NDArray[np.int64]


def show_clusters(
    encoders: Mapping[str, nn.Module], patches: PatchSet, names: Sequence[str]
) -> StageSummary:
    """Measures and draws how tokens of some teachers' encoders lie by label.

    Args:
        encoders: Title -> Swin teacher.
        patches: Labelled.
        names: Of the classes but the background.

    Returns:
        ``silhouette/TITLE`` of each, in [-1, 1]; picture ``feature_clusters``. Nothing where there
        are fewer than two classes of three tokens.
    """
    found: dict[str, tuple[Labelled, float]] = {}
    for title, teacher in encoders.items():
        if isinstance(teacher, SwinTeacher):
            seen = labelled_tokens(_state_of(teacher.eval()), patches)
            counts = np.bincount(seen.classes)
            if (counts >= LEAST).sum() > 1:
                found[title] = seen, silhouette(seen)
    if not found:
        return StageSummary()
    numbers = {f"silhouette/{title}": score for title, (_, score) in found.items()}
    return StageSummary(numbers, None, {"feature_clusters": _drawn(found, names)})


@torch.no_grad()
def labelled_tokens(encode: Callable[[Tensor], Tensor], patches: PatchSet) -> Labelled:
    """Encodes some patches, and gives each token the class that its cell is of.

    It is of the class with most voxels there if the cell has more foreground than the mean cell,
    else background: thin vessels fill no cell.

    Args:
        encode: From a patch (1, 1, D, H, W) to a state (1, c, d, h, w).
        patches: Labelled.
    """
    tokens, shares = [], []
    for i in permutation(0, "clusters", 0, len(patches))[:MOST_PATCHES].tolist():
        state = encode(torch.from_numpy(patches.image(i))[None, None])
        label, valid = (torch.from_numpy(x) for x in (patches.label(i), patches.valid(i)))
        patches.forget(i)
        grid = tuple(state.shape[2:])
        share = torch.stack([token_share(k[None, None], grid).flatten() for k in label], 1)
        real = token_share(valid[None, None], grid).flatten() >= REAL
        tokens.append(state[0].flatten(1).mT.float().cpu()[real])
        shares.append(share[real])
    every, share = torch.cat(tokens), torch.cat(shares)
    some = permutation(0, "clustered tokens", 0, len(every))[:MOST_TOKENS]
    foreground = share.sum(1)
    classes = torch.where(foreground > foreground.mean(), 1 + share.argmax(1), 0)
    return Labelled(every[some].numpy(), classes[some].numpy())


def silhouette(seen: Labelled) -> float:
    """Computes the mean silhouette of tokens by class, on cosines about their mean, in [-1, 1].

    Rousseeuw 1987; 1 where classes are far apart and tight, 0 where they are not told apart, as
    where all tokens are one.
    """
    from sklearn.metrics import silhouette_score  # slow to load

    if _collapsed(seen.tokens):
        return 0.0
    centred = seen.tokens - seen.tokens.mean(0)
    return float(silhouette_score(centred, seen.classes, metric="cosine"))


def _state_of(teacher: SwinTeacher) -> Callable[[Tensor], Tensor]:
    device = next(teacher.parameters()).device
    return lambda x: teacher.encode(x.to(device))[LEVEL]


def _collapsed(tokens: NDArray[np.float32]) -> bool:
    return bool((tokens == tokens[0]).all())


def _flat(tokens: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lays tokens out in two dimensions by t-SNE, (T, c) -> (T, 2)."""
    from sklearn.manifold import TSNE  # slow to load

    if _collapsed(tokens):  # t-SNE would divide by nothing
        return np.zeros((len(tokens), 2), np.float32)
    centred = tokens - tokens.mean(0)
    near = min(PERPLEXITY, (len(tokens) - 1) / 3)
    scaled = centred / centred.std()
    laid: NDArray[np.float32] = TSNE(perplexity=near, max_iter=500, random_state=0).fit_transform(
        scaled
    )
    return laid


def _drawn(found: Mapping[str, tuple[Labelled, float]], names: Sequence[str]) -> Picture:
    figure = Figure(figsize=(4.4 * len(found) + 0.4, 4.8), layout="constrained")
    figure.suptitle(
        "tokens of the encoder by t-SNE, coloured by what most of the cell's label is", fontsize=9
    )
    axes = figure.subplots(1, len(found), squeeze=False)[0]
    for at, (title, (seen, score)) in zip(axes, found.items(), strict=True):
        flat = _flat(seen.tokens)
        for number, name in enumerate(("background", *names)):
            own = flat[seen.classes == number]
            colour = COLOURS[number] if not number else COLOURS[1 + (number - 1) % 6]
            at.scatter(*own.T, s=10, c=colour, label=f"{name} ({len(own)})", linewidths=0)
        at.set_title(f"{title}: silhouette {score:.3f}", fontsize=10)
        at.set_xticks([])
        at.set_yticks([])
        at.legend(fontsize=8, loc="best")
    return drawn(figure)
