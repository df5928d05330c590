"""Pictures people look at: overlays in the paper's colours, reconstructions, code usage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Masks = tuple[NDArray[np.bool_], ...]
CORRECT, MISSED, FALSE = (0.15, 0.8, 0.25), (0.2, 0.4, 1.0), (1.0, 0.2, 0.2)
"""Green, blue and red of the paper's Fig. 4."""
SAFE = (0.34, 0.71, 0.91), (0.94, 0.89, 0.26), (0.84, 0.37, 0.0)
"""Sky blue, yellow and vermilion of Okabe and Ito, which everyone can tell apart on black."""
ROWS_WIDE = 4  # rows of code patches side by side
Colours = tuple[tuple[float, float, float], ...]
LEGENDS: dict[str, Colours] = {
    "green correct, blue missed, red false": (CORRECT, MISSED, FALSE),
    "sky blue correct, yellow missed, orange false": SAFE,
}


def overlay(
    image: NDArray[np.float32],
    truth: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    title: str,
) -> Picture:
    """Draws three planes where most vessel is: the image, and the verdict in two palettes.

    Args:
        image: (z, y, x) in [0, 1].
        truth: The label, same shape.
        prediction: The segmentation, same shape.
        title: Written above.
    """
    figure = Figure(figsize=(10, 9.6), layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(3, 3)
    for column, (name, place) in enumerate(_planes(truth).items()):
        plane = image[place]
        axes[0, column].imshow(plane, cmap="gray", vmin=0, vmax=1)
        axes[0, column].set_title(name, fontsize=9)
        verdicts = _verdicts(truth[place], prediction[place])
        for row, (legend, colours) in enumerate(LEGENDS.items(), start=1):
            axes[row, column].imshow(painted(plane, verdicts, colours))
            axes[row, 1].set_title(legend, fontsize=9)
    for at in axes.flat:
        at.set_axis_off()
    return drawn(figure)


def projections(
    image: NDArray[np.float32],
    truth: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    title: str,
) -> Picture:
    """Projects the whole volume along z: maximum of image and label, and the verdict twice.

    A ray has the colour of what most of its vessel voxels are; of an error, where there is a tie.

    Args:
        image: (z, y, x) in [0, 1].
        truth: The label, same shape.
        prediction: The segmentation, same shape.
        title: Written above.
    """
    figure = Figure(figsize=(10, 10), layout="constrained")
    figure.suptitle(f"{title}\nmaximum-intensity projections along z", fontsize=10)
    axes = figure.subplots(2, 2)
    plane, counts = image.max(0), np.stack([v.sum(0) for v in _verdicts(truth, prediction)])
    most = np.where(counts.any(0), 2 - counts[::-1].argmax(0), -1)  # of equals the last
    verdicts = tuple(most == i for i in range(3))
    for at, name, seen in zip(axes[0], ("image", "label"), (plane, truth.max(0)), strict=True):
        at.imshow(seen, cmap="gray", vmin=0, vmax=1)
        at.set_title(name, fontsize=9)
    for at, (legend, colours) in zip(axes[1], LEGENDS.items(), strict=True):
        at.imshow(painted(plane, verdicts, colours))
        at.set_title(legend, fontsize=9)
    for at in axes.flat:
        at.set_axis_off()
    return drawn(figure)


def reconstructions(
    inputs: NDArray[np.float32], answers: dict[str, NDArray[np.float32]]
) -> Picture:
    """Draws middle slices of patches beside their reconstructions.

    Args:
        inputs: (n, z, y, x) in [0, 1]; the first four are drawn.
        answers: Name -> reconstructions (n, z, y, x).
    """
    n = min(len(inputs), 4)
    rows = {"input": inputs, **answers}
    figure = Figure(figsize=(2.2 * n + 1, 2.2 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), n, squeeze=False)
    for row, (name, patches) in enumerate(rows.items()):
        for column in range(n):
            at = axes[row, column]
            at.imshow(patches[column][patches.shape[1] // 2], cmap="gray", vmin=0, vmax=1)
            at.set_xticks([])
            at.set_yticks([])
        axes[row, 0].set_ylabel(name, fontsize=9)
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
        f"the {most} pieces of 32 x 32 x 32 voxels nearest to each code, maximum along z\n"
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


def painted(plane: NDArray[np.float32], verdicts: Masks, colours: Colours) -> NDArray[np.float64]:
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


def _planes(truth: NDArray[np.bool_]) -> dict[str, tuple[slice | int, ...]]:
    """Finds, along each axis, the plane that cuts most vessel; name -> index."""
    names = ("z plane (y-x)", "y plane (z-x)", "x plane (z-y)")
    planes: dict[str, tuple[slice | int, ...]] = {}
    for axis, name in enumerate(names):
        others = tuple(a for a in range(3) if a != axis)
        place: list[slice | int] = [slice(None)] * 3
        place[axis] = int(truth.sum(axis=others).argmax())
        planes[f"{name} {place[axis]}"] = tuple(place)
    return planes


def _verdicts(truth: NDArray[np.bool_], prediction: NDArray[np.bool_]) -> Masks:
    """Sorts voxels into correct, missed and false ones."""
    return truth & prediction, truth & ~prediction, ~truth & prediction
