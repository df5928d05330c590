"""Pictures of what code words carry: masks with swapped codes, vessel share of each code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vpbsd.evaluation.pictures import SAFE, Picture, drawn, painted


class Swapped(NamedTuple):
    """A patch (z, y, x), its masks with own and with another patch's codes, and its label."""

    image: NDArray[np.float32]
    own: NDArray[np.bool_]
    other: NDArray[np.bool_]
    label: NDArray[np.bool_]


def swapped_masks(shown: Sequence[Swapped], dice: float) -> Picture:
    """Draws patches with either mask, and where the two differ, in the plane with most of both.

    Args:
        shown: The patches, one column each.
        dice: Between the two masks, over all patches.
    """
    rows = ("image", "label", "own codes", "another patch's codes", "difference")
    figure = Figure(figsize=(2.3 * len(shown) + 1, 2.3 * len(rows) + 0.7), layout="constrained")
    figure.suptitle(
        f"masks with own and with another patch's codes: Dice {dice:.3f}\n"
        "difference: sky blue in both, yellow with own codes only, orange with others' only",
        fontsize=9,
    )
    axes = figure.subplots(len(rows), len(shown), squeeze=False)
    for column, patch in enumerate(shown):
        z = int((patch.own | patch.other | patch.label).sum((1, 2)).argmax())
        image, own, other, label = (array[z] for array in patch)
        none = np.zeros_like(own)
        masks = ((none,) * 3, (label, none, none), (own, none, none), (other, none, none))
        for row, verdict in enumerate((*masks, (own & other, own & ~other, other & ~own))):
            at = axes[row, column]
            at.imshow(painted(image, verdict, SAFE) if row else image, cmap="gray", vmin=0, vmax=1)
            at.set_xticks([])
            at.set_yticks([])
    for at, name in zip(axes[:, 0], rows, strict=True):
        at.set_ylabel(name, fontsize=9)
    return drawn(figure)


def code_shares(
    codes: NDArray[np.int64],
    vessel: NDArray[np.float64],
    patches: NDArray[np.int64],
    numbers: Mapping[str, float],
) -> Picture:
    """Draws the vessel share of each code's cells: a bar for the mean, a dot for each token.

    Codes whose bars are as high as each other say nothing of vessels, whatever the dots do.

    Args:
        codes: (T,), code of each token.
        vessel: (T,), vessel share of its cell, in [0, 1].
        patches: (T,), number of its patch, which colours its dot.
        numbers: With ``r2_vessel_share`` and ``r2_brightness``.
    """
    used = np.unique(codes)
    order = used[np.argsort([-vessel[codes == code].mean() for code in used])]
    figure = Figure(figsize=(max(6.0, 0.42 * len(order) + 2), 4), layout="constrained")
    at = figure.subplots()
    means = [vessel[codes == code].mean() for code in order]
    at.bar(np.arange(len(order)), means, color="0.8", edgecolor="0.4", width=0.85)
    at.axhline(vessel.mean(), color="#D55E00", linewidth=1, label="mean of all tokens")
    place = np.zeros(codes.max() + 1)
    place[order] = np.arange(len(order))
    jitter = np.random.default_rng(0).uniform(-0.3, 0.3, len(codes))
    colours = colormaps["tab20"](patches % 20)
    at.scatter(place[codes] + jitter, vessel, s=9, c=colours, alpha=0.8, linewidths=0)
    counts = [f"{code}\n({(codes == code).sum()})" for code in order]
    at.set_xticks(np.arange(len(order)), counts, fontsize=7)
    at.set_xlabel("code word (tokens), by vessel share; a colour for each patch", fontsize=9)
    at.set_ylabel("vessel share of the cell")
    at.set_title(
        f"code -> vessel share: R^2 {numbers['r2_vessel_share']:.2f}; -> mean brightness: "
        f"{numbers['r2_brightness']:.2f} (patches apart predict)",
        fontsize=10,
    )
    at.legend(fontsize=8)
    return drawn(figure)
