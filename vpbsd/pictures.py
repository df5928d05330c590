"""Pictures people look at: overlays in the paper's colours, reconstructions, code usage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
CORRECT, MISSED, FALSE = (0.15, 0.8, 0.25), (0.2, 0.4, 1.0), (1.0, 0.2, 0.2)
"""Green, blue and red of the paper's Fig. 4."""


def overlay(
    image: NDArray[np.float32],
    truth: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    title: str,
) -> Picture:
    """Three planes through the place with most vessel: the image above, the verdict below.

    Args:
        image: (z, y, x) in [0, 1].
        truth: The label, same shape.
        prediction: The segmentation, same shape.
        title: Written above.
    """
    figure = Figure(figsize=(10, 6.4), layout="constrained")
    figure.suptitle(f"{title}\ngreen correct, blue missed, red false", fontsize=10)
    axes = figure.subplots(2, 3)
    for column, (name, place) in enumerate(_planes(truth).items()):
        plane = image[place]
        axes[0, column].imshow(plane, cmap="gray", vmin=0, vmax=1)
        axes[0, column].set_title(name, fontsize=9)
        axes[1, column].imshow(_verdict(plane, truth[place], prediction[place]))
        for row in (0, 1):
            axes[row, column].set_axis_off()
    return _drawn(figure)


def reconstructions(
    inputs: NDArray[np.float32], answers: dict[str, NDArray[np.float32]]
) -> Picture:
    """Middle slices of patches (n, z, y, x) beside what came back for them, by name."""
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
    return _drawn(figure)


def code_usage(histogram: NDArray[np.float64], title: str) -> Picture:
    """How often each code word is the nearest one, most used first."""
    figure = Figure(figsize=(7, 3), layout="constrained")
    at = figure.subplots()
    share = np.sort(histogram)[::-1] / max(histogram.sum(), 1)
    at.bar(np.arange(len(share)), share, color="#0072B2", width=0.9)
    at.axhline(1 / len(share), color="#D55E00", linewidth=1, label="even use")
    at.set_xlabel("code word, by rank")
    at.set_ylabel("share of tokens")
    at.set_title(title, fontsize=10)
    at.legend(fontsize=8)
    return _drawn(figure)


def save_png(path: Path, picture: Picture) -> None:
    """Writes a picture (height, width, 3)."""
    from matplotlib.image import imsave

    imsave(path, picture)


def _planes(truth: NDArray[np.bool_]) -> dict[str, tuple[slice | int, ...]]:
    """An index per plane, where that plane cuts most vessel."""
    names = ("z plane (y-x)", "y plane (z-x)", "x plane (z-y)")
    planes: dict[str, tuple[slice | int, ...]] = {}
    for axis, name in enumerate(names):
        others = tuple(a for a in range(3) if a != axis)
        place: list[slice | int] = [slice(None)] * 3
        place[axis] = int(truth.sum(axis=others).argmax())
        planes[f"{name} {place[axis]}"] = tuple(place)
    return planes


def _verdict(
    plane: NDArray[np.float32], truth: NDArray[np.bool_], prediction: NDArray[np.bool_]
) -> NDArray[np.float64]:
    grey: NDArray[np.float64] = np.repeat(plane[..., None].astype(float) * 0.6, 3, axis=-1)
    for where, colour in (
        (truth & prediction, CORRECT),
        (truth & ~prediction, MISSED),
        (~truth & prediction, FALSE),
    ):
        grey[where] = 0.25 * grey[where] + 0.75 * np.array(colour)
    return grey


def _drawn(figure: Figure) -> Picture:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
