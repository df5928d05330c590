"""Pictures of codebooks, and how any picture is painted, titled, drawn and saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Masks = tuple[NDArray[np.bool_], ...]
CORRECT, MISSED, FALSE = SAFE = (0.34, 0.71, 0.91), (0.94, 0.89, 0.26), (0.84, 0.37, 0.0)
"""Sky blue, yellow and vermilion of Okabe and Ito, which everyone can tell apart on black."""
BOTH = (0.4, 0.4, 0.4)
"""Grey of correct voxels, where errors alone are coloured."""
ROWS_WIDE = 4  # rows of code patches side by side
Colours = tuple[tuple[float, float, float], ...]


def reconstructions(
    inputs: NDArray[np.float32], answers: dict[str, NDArray[np.float32]]
) -> Picture:
    """Draws middle slices of patches, their reconstructions, and how far each of these is off.

    Args:
        inputs: (n, z, y, x) in [0, 1]; the first four are drawn.
        answers: Name -> reconstructions (n, z, y, x).
    """
    n = min(len(inputs), 4)
    rows = {"input": inputs[:n]}
    errors: dict[str, NDArray[np.float32]] = {}
    for name, patches in answers.items():
        error = patches[:n] - inputs[:n]
        rows[f"{name}\nMSE {np.square(error).mean():.4f}"] = patches[:n]
        rows[f"{name},\nerror"] = errors[f"{name},\nerror"] = error
    figure = Figure(figsize=(2.2 * n + 2, 2.2 * len(rows) + 0.8), layout="constrained")
    figure.suptitle(
        "middle slices of patches and what is rebuilt of them; error: rebuilt less input,\n"
        "orange too bright, purple too dark; MSE over the patches shown",
        fontsize=9,
    )
    axes = figure.subplots(len(rows), n, squeeze=False)
    most = max((float(np.abs(e[:, e.shape[1] // 2]).max()) for e in errors.values()), default=1)
    for row, (name, patches) in enumerate(rows.items()):
        for column in range(n):
            at, slice_ = axes[row, column], patches[column][patches.shape[1] // 2]
            if name in errors:
                seen = at.imshow(slice_, cmap="PuOr_r", vmin=-most, vmax=most)
            else:
                at.imshow(slice_, cmap="gray", vmin=0, vmax=1)
            at.set_xticks([])
            at.set_yticks([])
        axes[row, 0].set_ylabel(name, fontsize=9)
    if errors:
        figure.colorbar(seen, ax=axes, shrink=0.4)
    return drawn(figure)


def code_usage(histogram: NDArray[np.float64], title: str) -> Picture:
    """Draws how often each code word is the nearest one, most used first.

    Args:
        histogram: (N,), tokens of each code.
        title: Written above.
    """
    figure = Figure(figsize=(7, 3), layout="constrained")
    at = figure.subplots()
    share = np.sort(histogram)[::-1] / max(histogram.sum(), 1)
    at.bar(np.arange(len(share)), share, color="#0072B2", width=0.9)
    at.axhline(1 / len(share), color="#D55E00", linewidth=1, label="even use")
    at.set_xlabel("code word, by rank")
    at.set_ylabel("share of tokens")
    at.set_title(title, fontsize=10)
    at.legend(fontsize=8)
    return drawn(figure)


def code_patches(
    pieces: dict[int, list[NDArray[np.float32]]], histogram: NDArray[np.float64], most: int
) -> Picture:
    """Draws a row of image pieces for each code, those nearest to it; most used code first.

    Args:
        pieces: Code -> squares of one size, in [0, 1].
        histogram: How often each code is the nearest one.
        most: Squares that a row has room for.
    """
    order = [int(c) for c in np.argsort(-histogram, kind="stable") if histogram[c] > 0]
    unused = [c for c in range(len(histogram)) if not histogram[c] > 0]
    columns = min(max(2, len(order)), ROWS_WIDE)
    rows = max(1, -(-len(order) // columns))
    figure = Figure(figsize=(3.2 * columns, 1.0 * rows + 0.9), layout="constrained")
    figure.suptitle(
        f"up to {most} pieces of 32 x 32 x 32 voxels nearest to each code, none shown twice, "
        "maximum along z\n"
        + (
            f"{len(unused)} of {len(histogram)} codes unused: {_some(unused)}"
            if unused
            else f"all {len(histogram)} codes in use"
        ),
        fontsize=9,
    )
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for at, code in zip(axes, order, strict=False):
        squares = pieces.get(code, [])
        side = len(squares[0]) if squares else 1
        strip = np.ones((side, most * (side + 1) - 1), np.float32)
        for i, square in enumerate(squares):
            strip[:, i * (side + 1) : i * (side + 1) + side] = square
        at.imshow(strip, cmap="gray", vmin=0, vmax=1)
        at.set_title(f"code {code}, {histogram[code] / histogram.sum():.1%} of tokens", fontsize=7)
    for at in axes:
        at.set_axis_off()
    return drawn(figure)


def save_png(path: Path, picture: Picture) -> None:
    """Writes a picture (height, width, 3) as PNG."""
    from matplotlib.image import imsave

    imsave(path, picture)


def titled(picture: Picture, title: str) -> Picture:
    """Returns a picture with a line of title above it, as wide as it is."""
    width, dots = picture.shape[1], 100
    figure = Figure(figsize=(width / dots, 0.3), dpi=dots)
    figure.text(0.5, 0.5, title, ha="center", va="center", fontsize=11, fontweight="bold")
    return np.vstack([drawn(figure)[:, :width], picture])


def painted(
    plane: NDArray[np.floating[Any]], verdicts: Masks, colours: Colours
) -> NDArray[np.float64]:
    """Paints each of some masks over a darkened grey plane, in its colour; (y, x) -> (y, x, 3)."""
    grey: NDArray[np.float64] = np.repeat(plane[..., None].astype(float) * 0.6, 3, axis=-1)
    for where, colour in zip(verdicts, colours, strict=True):
        grey[where] = 0.25 * grey[where] + 0.75 * np.array(colour)
    return grey


def drawn(figure: Figure) -> Picture:
    """Renders a figure to pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _some(numbers: list[int], most: int = 12) -> str:
    """Lists numbers, the first dozen of them if there are more.

    >>> _some([3, 5, 8], most=2)
    '3, 5 and 1 more'
    """
    shown = ", ".join(map(str, numbers[:most]))
    return f"{shown} and {len(numbers) - most} more" if len(numbers) > most else shown
