"""A look at a graph: a slab of the mask, or of its image, with the lines over it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vpbsd.data.volumes import Shape, Slices, Spacing, triple
from vpbsd.drafts import draft_of
from vpbsd.evaluation.overlays import round_length
from vpbsd.graphs.tables import Columns, batches

WIDE = 512
"""Voxels of the window along y and x at most: its middle is the volume's."""
DEEP_UM = 100.0
"""Depth of the slab at most."""


def window(shape: Shape, spacing_um: Spacing) -> Slices:
    """Chooses what is shown: the middle of the volume."""
    deep = max(1, round(DEEP_UM / spacing_um[0]))
    sides = (min(n, most) for n, most in zip(shape, (deep, WIDE, WIDE), strict=True))
    return triple(
        slice((n - side) // 2, (n - side) // 2 + side)
        for n, side in zip(shape, sides, strict=True)
    )


def draw_look(
    seen: NDArray[np.generic],
    box: Slices,
    spacing_um: Spacing,
    nodes: Columns,
    out: Path,
) -> None:
    """Draws a slab along z, and the same with lines in the colours of their radii.

    Args:
        seen: The slab (z, y, x): of an image, whose maximum is shown, or of the mask (bool), of
            which it is how much lies behind each other.
        box: Where it lies.
        spacing_um: Voxel size.
        nodes: The graph's.
        out: Its folder, which gets a graph.png.
    """
    mask = seen.dtype == np.bool_
    flat = np.asarray(seen, np.float32).sum(0) if mask else np.asarray(seen, np.float32).max(0)
    extent = [
        edge
        for b, side in zip(box[:0:-1], spacing_um[:0:-1], strict=True)
        for edge in ((b.start - 0.5) * side, (b.stop - 0.5) * side)
    ]
    extent = [*extent[:2], extent[3], extent[2]]
    figure = Figure(figsize=(15, 7.4), layout="constrained")
    FigureCanvasAgg(figure)
    plain, over = figure.subplots(1, 2, sharex=True, sharey=True)
    depth = (box[0].stop - box[0].start) * spacing_um[0]
    what = "depth of vessel" if mask else "maximum"
    figure.suptitle(f"{what} along z in the middle {depth:g} um, and the graph", fontsize=10)
    top = float(np.percentile(flat, 99.8)) or 1.0
    for axis, dark in ((plain, 1.0), (over, 2.2)):
        axis.imshow(flat, cmap="gray", vmin=0, vmax=top * dark, extent=extent)
        axis.set_axis_off()
    steps, radius = _steps(out / "points.parquet", box, spacing_um)
    lines = LineCollection(list(steps), array=radius, cmap="plasma", linewidths=1.4)
    over.add_collection(lines)
    if len(radius):
        figure.colorbar(lines, ax=over, label="radius [um]", shrink=0.7)
    _draw_nodes(over, nodes, box, spacing_um)
    _add_scale_bar(plain, extent)
    over.set_xlim(extent[0], extent[1])
    over.set_ylim(extent[2], extent[3])
    with draft_of(out / "graph.png") as draft:
        figure.savefig(draft, dpi=110, format="png")


def _draw_nodes(axis: Axes, nodes: Columns, box: Slices, spacing_um: Spacing) -> None:
    place = np.stack([np.asarray(nodes[f"{a}_um"], np.float64) for a in "zyx"], axis=1)
    shown = _inside(place, box, spacing_um)
    kind = np.asarray(nodes["kind"])
    for name, colour, size in (("branch", "#56B4E9", 9), ("end", "#FFFFFF", 7)):
        at = place[shown & (kind == name)]
        title = {"branch": "branch points", "end": "ends"}[name]
        axis.scatter(at[:, 2], at[:, 1], s=size, c=colour, linewidths=0, label=title, zorder=3)
    axis.legend(loc="upper right", fontsize=8, facecolor="#333333", labelcolor="white")


def _steps(
    points: Path, box: Slices, spacing_um: Spacing
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Reads the steps of lines that lie in a box: (n, 2 ends, x and y), and their radii."""
    steps, radii = [np.zeros((0, 2, 2))], [np.zeros(0)]
    for part in batches(points):
        place = np.stack([np.asarray(part[f"{a}_um"], np.float64) for a in "zyx"], axis=1)
        number = np.asarray(part["segment"])
        same = np.flatnonzero(number[:-1] == number[1:])
        same = same[_inside((place[same] + place[same + 1]) / 2, box, spacing_um)]
        steps.append(np.stack([place[same], place[same + 1]], axis=1)[:, :, :0:-1])
        radii.append(np.asarray(part["radius_um"], np.float64)[same])
    return np.concatenate(steps), np.concatenate(radii)


def _inside(place: NDArray[np.float64], box: Slices, spacing_um: Spacing) -> NDArray[np.bool_]:
    low, high = np.array([(b.start, b.stop) for b in box]).T * np.array(spacing_um)[:, None].T
    half = np.array(spacing_um) / 2
    held: NDArray[np.bool_] = ((place >= low - half) & (place < high - half)).all(1)
    return held


def _add_scale_bar(axis: Axes, extent: list[float]) -> None:
    """Draws a bar of a round length, a fifth of the width at most, below on the left."""
    left, right, bottom, top = extent
    width = right - left
    length = round_length(width / 5)
    x, y = left + 0.04 * width, bottom - 0.04 * (bottom - top)
    axis.text(
        x + length / 2,
        y - 0.02 * (bottom - top),
        f"{length:g} um",
        color="white",
        fontsize=9,
        ha="center",
        va="bottom",
        bbox={"facecolor": "black", "edgecolor": "none", "pad": 3},
    )
    for colour, thick in (("black", 8), ("white", 4)):
        axis.plot([x, x + length], [y, y], color=colour, linewidth=thick, solid_capstyle="butt")
