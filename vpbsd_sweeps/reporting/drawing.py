"""How figures look, and how they are written: colours for everyone, panels, ticks, files."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, LogLocator, NullFormatter

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours without the yellow, which is lost on white."""


def save(figure: Figure, stem: Path) -> None:
    """Writes a figure as PNG and SVG, the same bytes each time.

    For that there are no dates, no versions, fixed ids, and text as outlines.
    """
    figure.set_dpi(150)
    with mpl.rc_context({"svg.hashsalt": "vpbsd", "svg.fonttype": "path"}):
        FigureCanvasAgg(figure).print_png(f"{stem}.png", metadata={"Software": None})
        FigureCanvasSVG(figure).print_svg(f"{stem}.svg", metadata={"Date": None, "Creator": None})


def plain_ticks(axis: Axis, form: Formatter) -> None:
    """Puts the numbers that people read on a logarithmic axis: 1, 2, 5, 10, ..."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(form)
    axis.set_minor_formatter(NullFormatter())


def panels(
    count: int, most: int, size: tuple[float, float], *, share: bool
) -> tuple[Figure, list[Axes]]:
    """Makes a figure with so many panels, at most so many side by side."""
    columns = min(count, most)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(size[0] * columns, size[1] * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=share).ravel()
    for at in axes[count:]:
        at.set_visible(False)
    for at in axes[:count]:
        at.title.set_fontsize(9)
        at.xaxis.label.set_fontsize(8)
        at.tick_params(labelsize=8)
    return figure, list(axes[:count])
