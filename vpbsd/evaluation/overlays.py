"""Pictures of a segmentation against its label: planes, a slab, and the same volume for many arms.

All are to scale: pixels have the voxels' aspect, a bar tells the length, and the grey of the image
spans what its tissue shows. Colours are those that everyone can tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vpbsd.data.tissue import find_tissue, measure_volume
from vpbsd.data.volumes import Spacing
from vpbsd.evaluation.pictures import BOTH, FALSE, MISSED, SAFE, Masks, Picture, drawn, painted

DEEPEST = 16
"""Planes of a slab at most: in a deeper one vessels hide each other."""
ENOUGH = 4_000_000
"""Voxels that percentiles are taken of."""
PANEL = 3.2  # inches
PIXELS = 480  # wide, of a panel of `strip`
MICROMETRES = "\N{MICRO SIGN}m"
LEGEND = "sky blue correct, yellow missed, orange false"
ERRORS = "errors alone"
Plane = NDArray[np.float32]


class Scene(NamedTuple):
    """What is drawn of a volume, or of one class in it.

    Attributes:
        image: Intensities (z, y, x), as stored.
        truth: The label, same shape.
        prediction: The segmentation, same shape.
        spacing_um: Of a voxel; None where it is not known.
        shown: Intensities that are drawn black and white, see `display_range`.
    """

    image: NDArray[Any]
    truth: NDArray[np.bool_]
    prediction: NDArray[np.bool_]
    spacing_um: Spacing | None = None
    shown: tuple[float, float] = (0.0, 1.0)


def display_range(image: NDArray[Any], label: NDArray[np.bool_]) -> tuple[float, float]:
    """Finds what is to be drawn black and white: percentiles 1 and 99.8 of tissue and vessels.

    Empty surroundings, however large, do not darken what there is to see.

    Args:
        image: Intensities (z, y, x), as stored.
        label: True in vessels.
    """
    z, y, x = image.shape
    tissue = find_tissue(measure_volume(lambda box: image[box], (z, y, x)))
    seen = tissue.in_box((slice(0, z), slice(0, y), slice(0, x))) | label
    step = max(1, round((image.size / ENOUGH) ** (1 / 3)))  # of a large volume some voxels say it
    thin = np.s_[::step, ::step, ::step]
    values = image[thin][seen[thin]]
    low, high = (float(p) for p in np.percentile(values if values.size else image, (1, 99.8)))
    return (low, high) if low < high else (low, low + 1)


def overlay(scene: Scene, title: str) -> Picture:
    """Draws, along each axis, the plane that cuts most vessel: image, verdict, errors alone."""
    planes = [_cut(scene, axis) for axis in range(3)]
    heights = [min(max(_height(p), 0.2), 2.0) for p in planes]
    figure = Figure(figsize=(3 * PANEL, PANEL * sum(heights) + 0.9), layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(3, 3, height_ratios=heights, squeeze=False)
    for row, (name, plane) in zip(axes, zip("zyx", planes, strict=True), strict=True):
        _draw_verdicts(row, plane)
        _entitle(row[0], f"{name} plane {plane.first}")
    _entitle(axes[0, 1], LEGEND, 8)
    _entitle(axes[0, 2], ERRORS, 8)
    return drawn(figure)


def projections(scene: Scene, title: str) -> Picture:
    """Projects the slab with most vessel along z: maximum of image and label, verdict, errors.

    A ray has the colour of what most of its vessel voxels are; of an error, where there is a tie.
    """
    slab = _slab(scene)
    figure = Figure(figsize=(2 * PANEL + 1, (2 * PANEL + 1) * _height(slab) + 0.9))
    figure.set_layout_engine("constrained")
    deep = slab.last - slab.first
    figure.suptitle(
        f"{title}\nmaximum along z over planes {slab.first} to {slab.last - 1}"
        + (f" ({deep * scene.spacing_um[0]:.3g} {MICROMETRES})" if scene.spacing_um else ""),
        fontsize=10,
    )
    axes = figure.subplots(2, 2)
    _draw_verdicts([axes[0, 0], axes[1, 0], axes[1, 1]], slab)
    _show(axes[0, 1], slab.truth.astype(np.float32), slab)
    titles = ("image", "label", LEGEND, ERRORS)
    for at, name in zip(axes.flat, titles, strict=True):
        _entitle(at, name)
    return drawn(figure)


def strip(scene: Scene) -> Picture:
    """Draws image, label and prediction of that slab side by side, without anything around them.

    From strips of several arms `side_by_side` makes one picture. Each third is a panel; those of
    label and prediction are black and white.
    """
    slab = _slab(scene)
    panels = (slab.image, slab.truth.astype(np.float32), slab.prediction.astype(np.float32))
    return np.hstack([_panel(p, slab, bar=i == 0) for i, p in enumerate(panels)])


def side_by_side(strips: Mapping[str, Picture], title: str) -> Figure:
    """Draws one volume for several arms in a row: image, label, each arm, and where two differ.

    Args:
        strips: Title of an arm -> its `strip` of the same volume; the last two are compared.
        title: Written above.
    """
    thirds = {name: np.split(s, 3, axis=1) for name, s in strips.items()}
    image, label, _ = next(iter(thirds.values()))
    truth = label[..., 0] > 127
    masks = {name: third[2][..., 0] > 127 for name, third in thirds.items()}
    grey = image[..., 0] / 255
    panels: dict[str, NDArray[np.generic]] = {"image": image, "label": label}
    for name, mask in masks.items():
        panels[name] = painted(grey, verdicts(truth, mask), SAFE)
    if len(masks) > 1:
        one, other = list(masks)[-2:]
        right = [masks[name] == truth for name in (one, other)]
        none = np.zeros_like(truth)
        gained = (none, ~right[1] & right[0], right[1] & ~right[0])
        panels[f"right in one only: {one} yellow, {other} orange"] = painted(grey, gained, SAFE)
    height = PANEL * image.shape[0] / image.shape[1]
    figure = Figure(figsize=(PANEL * len(panels), height + 0.9), layout="constrained")
    figure.suptitle(f"{title}   {LEGEND}", fontsize=10)
    for at, (name, panel) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        at.imshow(panel)
        at.set_title(name, fontsize=9, wrap=True)
        at.set_axis_off()
    return figure


def verdicts(truth: NDArray[np.bool_], prediction: NDArray[np.bool_]) -> Masks:
    """Sorts voxels into correct, missed and false ones."""
    return truth & prediction, truth & ~prediction, ~truth & prediction


def round_length(most: float) -> float:
    """Returns the largest of 1, 2, 5, 10, 20 ... that is not longer.

    >>> round_length(37.0), round_length(0.6)
    (20.0, 0.5)
    """
    unit = 10.0 ** math.floor(math.log10(most))
    return max(f * unit for f in (1, 2, 5) if f * unit <= most * (1 + 1e-9))


class _View(NamedTuple):
    """A plane or a slab as it is drawn: image in [0, 1], masks, verdicts, size of a pixel."""

    image: Plane
    truth: NDArray[np.bool_]
    prediction: NDArray[np.bool_]
    verdicts: Masks
    pixel: tuple[float, float]
    unit: str
    first: int
    last: int


def _cut(scene: Scene, axis: int) -> _View:
    """Cuts the plane with most vessel by the label, so that it is the same one for every arm."""
    others = tuple(a for a in range(3) if a != axis)
    vessel = scene.truth.sum(axis=others)
    place = int(vessel.argmax()) if vessel.any() else len(vessel) // 2
    image = np.take(scene.image, place, axis)
    truth, prediction = (np.take(mask, place, axis) for mask in (scene.truth, scene.prediction))
    return _view(scene, others, image, truth, prediction, verdicts(truth, prediction), place)


def _slab(scene: Scene) -> _View:
    """Projects the slab of bounded depth with most vessel by the label."""
    depth = min(DEEPEST, len(scene.image))
    vessel = scene.truth.sum((1, 2))
    sums = np.convolve(vessel, np.ones(depth), "valid")
    first = int(sums.argmax()) if vessel.any() else (len(vessel) - depth) // 2
    truth, prediction = (m[first : first + depth] for m in (scene.truth, scene.prediction))
    counts = np.stack([v.sum(0) for v in verdicts(truth, prediction)])
    most = np.where(counts.any(0), 2 - counts[::-1].argmax(0), -1)  # of equals the last
    seen = tuple(most == i for i in range(3))
    image = scene.image[first : first + depth].max(0)
    marked, found = (np.asarray(mask.any(0), bool) for mask in (truth, prediction))
    return _view(scene, (1, 2), image, marked, found, seen, first)._replace(last=first + depth)


def _view(  # noqa: PLR0913 (all of it is one picture)
    scene: Scene,
    axes: tuple[int, ...],
    image: NDArray[Any],
    truth: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    seen: Masks,
    first: int,
) -> _View:
    low, high = scene.shown
    grey = np.clip((image.astype(np.float32) - low) / (high - low), 0, 1)
    size = scene.spacing_um or (1.0, 1.0, 1.0)
    unit = MICROMETRES if scene.spacing_um else "voxels"
    pixel = (size[axes[0]], size[axes[1]])
    return _View(grey, truth, prediction, seen, pixel, unit, first, first + 1)


def _draw_verdicts(axes: NDArray[np.object_] | list[Axes], view: _View) -> None:
    """Draws image, verdict and errors alone."""
    _show(axes[0], view.image, view)
    _draw_bar(axes[0], view)
    _show(axes[1], painted(view.image, view.verdicts, SAFE), view)
    nothing = np.zeros_like(view.image)
    _show(axes[2], painted(nothing, view.verdicts, (BOTH, MISSED, FALSE)), view)


def _show(at: Axes, panel: NDArray[np.generic], view: _View) -> None:
    aspect = view.pixel[0] / view.pixel[1]
    at.imshow(panel, cmap="gray", vmin=0, vmax=1, aspect=aspect, interpolation="nearest")
    at.set_axis_off()


def _entitle(at: Axes, title: str, size: int = 9) -> None:
    at.set_title(title, fontsize=size, y=1)  # at no stated height hidden ticks are measured for it


def _draw_bar(at: Axes, view: _View) -> None:
    """Draws a bar of a round length, about a fifth of the width, and says how long it is."""
    height, width = view.image.shape
    length = round_length(max(width * view.pixel[1] / 4, view.pixel[1]))
    x, y = 0.04 * width - 0.5, 0.95 * height - 0.5
    ends = [x, x + length / view.pixel[1]]
    for colour, thick in (("black", 5), ("white", 3)):  # seen on any grey
        at.plot(ends, [y, y], color=colour, lw=thick, solid_capstyle="butt")
    box = {"facecolor": "black", "alpha": 0.5, "pad": 1, "lw": 0}
    text = f"{length:g} {view.unit}"
    at.text(x, y - 0.03 * height, text, color="white", fontsize=8, va="bottom", bbox=box)


def _panel(panel: Plane, view: _View, *, bar: bool) -> Picture:
    """Draws a panel to its very edge."""
    figure = Figure(figsize=(PANEL, PANEL * _height(view)), dpi=PIXELS / PANEL)
    at = figure.add_axes((0, 0, 1, 1))
    _show(at, panel, view)
    at.set_aspect("auto")
    if bar:
        _draw_bar(at, view)
    return drawn(figure)


def _height(view: _View) -> float:
    """Returns how high a view is for its width."""
    height, width = view.image.shape
    return float(height * view.pixel[0] / (width * view.pixel[1]))
