"""A picture of what regions hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vpbsd.drafts import draft_of
from vpbsd.graphs.tables import Columns

MOST = 40
"""Regions that are drawn: those of the largest volume."""
SHOWN = {
    "vessel_share": "vessel, share of volume",
    "length_density_mm_per_mm3": "length density [mm/mm$^3$]",
    "branch_points_per_mm3": "branch points [1/mm$^3$]",
    "radius_p50_um": "radius [um]: median, and 10 to 90 %",
}


def draw_regions(table: Columns, path: Path) -> None:
    """Draws four columns of bars, a row per region; the ground is left out.

    Args:
        table: See `regions`.
        path: PNG.
    """
    ids = np.asarray(table["id"])
    order = [
        i
        for i in np.argsort(-np.asarray(table["volume_mm3"], np.float64), kind="stable")
        if ids[i] != 0
    ]
    rows = np.array(order[:MOST], int)
    figure = Figure(figsize=(13, 1.4 + 0.28 * max(len(rows), 2)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(SHOWN), sharey=True)
    left_out = f", the {MOST} largest of {len(order)}" if len(order) > MOST else ""
    figure.suptitle(f"vessels by region{left_out}", fontsize=10)
    at = np.arange(len(rows))
    for axis, (column, title) in zip(axes, SHOWN.items(), strict=True):
        values = np.asarray(table[column])[rows]
        if column.startswith("radius"):
            low, high = (np.asarray(table[f"radius_p{p}_um"])[rows] for p in (10, 90))
            axis.hlines(at, low, high, color="#0072B2", linewidth=2)
            axis.plot(values, at, "o", color="#D55E00", markersize=5)
            axis.set_xlim(left=0)
        else:
            axis.barh(at, values, color="#0072B2", height=0.7)
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(at, [str(name) for name in np.asarray(table["name"])[rows]])
    axes[0].invert_yaxis()
    with draft_of(path) as draft:
        figure.savefig(draft, dpi=120, format="png")
