"""Pictures of what an encoder tells apart: its tokens' principal components, and one's likeness.

Of the two pictures of S2DC (Pan et al. 2025) that need no label: tokens as colours, and a heat map
of the cosines between an anchor and all other tokens of its patch.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from vpbsd.data.lattice import PatchSet
from vpbsd.data.patches import Pool
from vpbsd.evaluation.codebook_health import StageSummary
from vpbsd.evaluation.pictures import Picture, drawn
from vpbsd.random_streams import permutation

SHOWN = 4
Tokens = NDArray[np.float64]


def show_features(
    encode: Callable[[Tensor], Tensor], pool: Pool, network: nn.Module
) -> StageSummary:
    """Makes the summary of a pre-training of its picture ``features``; see `features`.

    Args:
        encode: From a patch (1, 1, D, H, W) to a state (1, c, d, h, w).
        pool: Whose unlabelled patches are shown.
        network: Whose device the patches go to.
    """
    assert pool.unlabelled is not None
    device = next(network.parameters()).device
    picture = features(lambda x: encode(x.to(device)), pool.unlabelled.patches)
    return StageSummary(pictures={"features": picture})


@torch.no_grad()
def features(encode: Callable[[Tensor], Tensor], patches: PatchSet) -> Picture:
    """Draws some patches, their tokens by principal components, and the likeness of an anchor."""
    order = permutation(0, "features shown", 0, len(patches))[:SHOWN].tolist()
    images = [patches.image(i) for i in order]
    states = [encode(torch.from_numpy(image)[None, None])[0] for image in images]
    tokens = np.stack([s.movedim(0, -1).double().cpu().numpy() for s in states])
    return _drawn(np.stack(images), tokens)


def components(tokens: Tokens) -> tuple[Tokens, float]:
    """Projects tokens on their three principal components, each spread over [0, 1] as a colour.

    Args:
        tokens: (n, ..., c).

    Returns:
        (n, ..., 3), cut at the second and the last but one percentile, and the share of the
        variance that the three hold.
    """
    flat = tokens.reshape(-1, tokens.shape[-1])
    centred = flat - flat.mean(0)
    _, size, axes = np.linalg.svd(centred, full_matrices=False)
    seen = centred @ axes[:3].T
    low, high = np.percentile(seen, (2, 98), axis=0)
    colours = np.clip((seen - low) / np.maximum(high - low, 1e-12), 0, 1)
    held = float((size[:3] ** 2).sum() / max((size**2).sum(), 1e-12))
    return colours.reshape(*tokens.shape[:-1], -1), held


def likeness(tokens: Tokens, anchor: tuple[int, int, int]) -> Tokens:
    """Computes the cosines of one token and all, less their mean: (d, h, w, c) -> (d, h, w).

    Args:
        tokens: Of one patch; the mean of all is taken away first, or all are alike.
        anchor: Which one.
    """
    centred = tokens - tokens.mean((0, 1, 2))
    length = np.linalg.norm(centred, axis=-1, keepdims=True)
    unit = centred / np.maximum(length, 1e-12)
    cosines: Tokens = unit @ unit[anchor]
    return cosines


def _drawn(images: NDArray[np.float32], tokens: Tokens) -> Picture:
    n, layers = len(images), tokens.shape[1]
    colours, held = components(tokens)
    figure = Figure(figsize=(2.4 * n + 1, 8), layout="constrained")
    figure.suptitle(
        "tokens of the pre-trained encoder, one layer of each patch (maximum along z)\n"
        f"three principal components as red, green, blue hold {held:.0%} of the variance",
        fontsize=9,
    )
    axes = figure.subplots(3, n, squeeze=False)
    for column in range(n):
        slabs = images[column].reshape(layers, -1, *images.shape[2:]).max(1)
        layer = int(slabs.mean((1, 2)).argmax())
        plane, (h, w) = slabs[layer], tokens.shape[2:4]
        means = plane.reshape(h, plane.shape[0] // h, w, -1).mean((1, 3))
        y, x = (int(i) for i in np.unravel_index(means.argmax(), means.shape))
        heat = likeness(tokens[column], (layer, y, x))[layer]
        extent = (0, plane.shape[1], plane.shape[0], 0)
        axes[0, column].imshow(plane, cmap="gray", vmin=0, vmax=1, extent=extent)
        axes[1, column].imshow(colours[column, layer], extent=extent)
        axes[2, column].imshow(plane, cmap="gray", vmin=0, vmax=1, extent=extent)
        axes[2, column].imshow(
            heat, cmap=colormaps["coolwarm"], vmin=-1, vmax=1, alpha=0.55, extent=extent
        )
        side = plane.shape[1] / w
        axes[2, column].plot((x + 0.5) * side, (y + 0.5) * side, "k.", markersize=9)
        for at in axes[:, column]:
            at.set_xticks([])
            at.set_yticks([])
    for at, name in zip(axes[:, 0], ("image", "components", "likeness to the dot"), strict=True):
        at.set_ylabel(name, fontsize=9)
    return drawn(figure)
