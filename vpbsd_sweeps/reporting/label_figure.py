"""The picture that semi-supervision is about: DSC against the number of labelled groups."""

from __future__ import annotations

import math
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from vpbsd_sweeps.reporting.drawing import OKABE_ITO, save
from vpbsd_sweeps.reporting.label_efficiency import (
    Interval,
    LabelEfficiency,
    labelled_groups,
    title,
    training_groups,
)

NAME = "label_efficiency"
CAPTION = (
    "Test DSC against the number of training groups that keep their labels, and what each arm "
    "adds to the baseline with the same labels: mean and 95 % t-interval over folds."
)
MARKERS = "osD^vPX*<>"
APART = 0.012  # of the width, between arms at the same number, so that intervals do not overlap


def draw(found: LabelEfficiency, folder: Path) -> list[Path]:
    """Writes the figure as PNG and SVG; returns their paths."""
    save(figure(found), folder / NAME)
    return [folder / f"{NAME}.{kind}" for kind in ("png", "svg")]


def figure(found: LabelEfficiency) -> Figure:
    """Draws DSC of every arm, and beside it the paired gain of those that have one."""
    scores = [[found.score(arm, study) for study in found.studies] for arm in found.arms]
    gains = [
        [found.gain(arm, study) if arm != found.baseline else None for study in found.studies]
        for arm in found.arms
    ]
    kinds = {"test DSC": scores, f"difference to {title(found.baseline)}": gains}
    drawn = {name: rows for name, rows in kinds.items() if any(map(any, rows))}
    made = Figure(figsize=(3.7 * len(drawn) + 2.1, 3.8), layout="constrained")
    axes = made.subplots(1, max(len(drawn), 1), squeeze=False)[0]
    for at, (name, rows) in zip(axes, drawn.items(), strict=False):
        for i, values in enumerate(rows):
            _curve(at, found, i, values)
        at.set_ylabel(name)
        _axis(at, found)
    if gains in drawn.values():
        axes[-1].axhline(0, color="#767676", lw=1)
    handles, labels = axes[0].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8)
    return made


def _curve(at: Axes, found: LabelEfficiency, i: int, values: list[Interval | None]) -> None:
    """Draws one arm; where it was left out there is a gap, and nothing if it is nowhere."""
    if not any(values):
        return
    places, nan = _places(found), math.nan
    width = math.log(max(places) / min(places)) or 1.0
    shift = math.exp(APART * width * (i - (len(found.arms) - 1) / 2))
    means = [value.mean if value else nan for value in values]
    reach = [value.high - value.mean if value else nan for value in values]
    at.errorbar(
        [place * shift for place in places],
        means,
        yerr=[0.0 if math.isnan(r) else r for r in reach],
        fmt=f"{MARKERS[i % len(MARKERS)]}-",
        color=OKABE_ITO[i % len(OKABE_ITO)],
        label=title(found.arms[i]),
        mfc="none",
        capsize=3,
        lw=1.4,
    )


def _axis(at: Axes, found: LabelEfficiency) -> None:
    places = _places(found)
    names = [
        "all" if labelled_groups(r) is None else f"{n}"
        for r, n in zip(found.records, places, strict=True)
    ]
    at.set(xscale="log", xlabel="labelled training groups per fold")
    at.xaxis.set_major_locator(FixedLocator(places))
    at.xaxis.set_minor_locator(NullLocator())
    at.xaxis.set_minor_formatter(NullFormatter())
    at.set_xticks(places, names)
    at.grid(axis="y", alpha=0.3)


def _places(found: LabelEfficiency) -> list[int]:
    """Returns where each study stands on the axis: all labels at as many groups as there are."""
    return [labelled_groups(records) or training_groups(records) for records in found.records]
