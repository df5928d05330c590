"""What a segmentation is worth: one volume measured once, all numbers read off that.

Units are in the names: ``_vox`` counts voxels (spacing 1), ``_um`` micrometres. The rules for
empty masks: both empty is a perfect answer (overlaps 1, distances 0); one empty is the worst
(overlaps 0, surface distances the volume's diagonal) and flagged by ``one_empty``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from vpbsd.errors import BadInput
from vpbsd.evaluation.skeletons import Mask, cldice, skeleton_matching

REACH = 2  # voxels within which neighbours are tried one by one before a tree is built

Distances = NDArray[np.float64]
Spacing = tuple[float, float, float]


def measure(truth: Mask, prediction: Mask, spacing_um: Spacing | None) -> dict[str, float]:
    """Measures one volume with all metrics.

    Args:
        truth: the label, ``(z, y, x)``, bool, without padding.
        prediction: the segmentation, same shape, bool.
        spacing_um: voxel size (z, y, x) in um; None where unknown, then no ``_um`` column.

    Returns:
        The columns of `overlap`, `cldice` and `skeleton_matching`; ``hd95``, ``hd95_max``,
        ``hd_max``, ``asd``, ``assd``, each as ``_vox`` and ``_um``; ``one_empty`` (0 or 1);
        ``foreground_truth`` and ``foreground_prediction`` (shares). All finite.

    Raises:
        BadInput: masks that are not boolean, not 3-D, without voxels or of different shapes; a
            spacing that is not three positive numbers.

    >>> mask = np.ones((4, 4, 4), bool)
    >>> row = measure(mask, mask, (3.0, 1.6, 1.6))
    >>> row["dsc"], row["cldice"], row["hd95_um"], row["smd"] < 1e-3
    (1.0, 1.0, 0.0, True)
    """
    _check_masks(truth, prediction)
    spacings: dict[str, Spacing] = {"vox": (1.0, 1.0, 1.0)}
    if spacing_um is not None:
        spacings["um"] = _checked(spacing_um)
    row = overlap(truth, prediction)
    row |= cldice(truth, prediction)
    row |= _distance_columns(truth, prediction, spacings)
    row |= skeleton_matching(truth, prediction)
    row["one_empty"] = float(truth.any() != prediction.any())
    row["foreground_truth"] = float(truth.mean())
    row["foreground_prediction"] = float(prediction.mean())
    return row


def _check_masks(truth: Mask, prediction: Mask) -> None:
    for name, mask in (("truth", truth), ("prediction", prediction)):
        if mask.dtype != np.bool_:
            raise BadInput(f"{name} is {mask.dtype}, not bool: compare it first, as in mask > 0")
        if mask.ndim != 3 or not mask.size:
            raise BadInput(f"{name} has shape {mask.shape}: give one volume (z, y, x) with voxels")
    if truth.shape != prediction.shape:
        raise BadInput(
            f"truth {truth.shape} and prediction {prediction.shape} differ in shape: "
            "bring both to the unpadded grid of the volume"
        )


def _checked(spacing_um: Spacing) -> Spacing:
    if len(spacing_um) != 3 or not all(0 < size < math.inf for size in spacing_um):
        raise BadInput(
            f"spacing_um {spacing_um} is not three positive numbers (z, y, x): "
            "give the voxel size in um, or None where it is unknown"
        )
    return spacing_um


def overlap(truth: Mask, prediction: Mask) -> dict[str, float]:
    """Measures voxel-wise agreement in [0, 1], without smoothing.

    ``dsc`` is also the foreground's F1; ``jaccard = dsc / (2 - dsc)``; ``f1_macro`` is the mean of
    the F1 of foreground and background.

    >>> truth, prediction = np.array([1, 1, 0, 0], bool), np.array([1, 0, 1, 0], bool)
    >>> scores = overlap(truth, prediction)
    >>> scores["dsc"], scores["jaccard"], scores["accuracy"]
    (0.5, 0.3333333333333333, 0.5)
    """
    hits = int(np.count_nonzero(truth & prediction))
    true, predicted = int(np.count_nonzero(truth)), int(np.count_nonzero(prediction))
    both, union = true + predicted, true + predicted - hits
    rest = truth.size - union
    dsc = _ratio(2 * hits, both)
    return {
        "dsc": dsc,
        "accuracy": (hits + rest) / truth.size,
        "jaccard": _ratio(hits, union),
        "precision": _ratio(hits, predicted, empty=float(not true)),
        "recall": _ratio(hits, true, empty=float(not predicted)),
        "f1_macro": (dsc + _ratio(2 * rest, 2 * truth.size - both)) / 2,
    }


def _ratio(part: int, whole: int, empty: float = 1.0) -> float:
    return part / whole if whole else empty


@dataclass(frozen=True)
class SurfaceDistances:
    """How far each surface voxel of one mask is from the other mask's surface, both directions."""

    to_truth: Distances
    to_prediction: Distances


def surface_distances(truth: Mask, prediction: Mask, spacing: Spacing) -> SurfaceDistances:
    """Measures distances between the surfaces of two ``(z, y, x)`` masks, in units of ``spacing``.

    A surface voxel is a foreground voxel with a face neighbour that is background; outside the
    volume is background. Both masks empty: a single 0 each way. One empty: a single distance each
    way, from the first to the last voxel of the volume, which no real distance exceeds.

    >>> truth, prediction = np.zeros((2, 1, 1, 9), bool)
    >>> truth[0, 0, 2], prediction[0, 0, 5] = True, True
    >>> surface_distances(truth, prediction, (3.0, 1.6, 1.6)).to_truth.round(6).tolist()
    [4.8]
    """
    if truth.any() and prediction.any():
        box = _bounding_box(truth | prediction)
        return _between(_surface(truth[box]), _surface(prediction[box]), spacing)
    diagonal = float(np.linalg.norm((np.array(truth.shape) - 1) * spacing))
    worst = np.array([diagonal if truth.any() or prediction.any() else 0.0])
    return SurfaceDistances(worst, worst)


def _distance_columns(
    truth: Mask, prediction: Mask, spacings: dict[str, Spacing]
) -> dict[str, float]:
    row: dict[str, float] = {}
    for unit, spacing in spacings.items():
        distances = surface_distances(truth, prediction, spacing)
        row[f"hd95_{unit}"] = hd95(distances)
        row[f"hd95_max_{unit}"] = hd95_max(distances)
        row[f"hd_max_{unit}"] = hd_max(distances)
        row[f"asd_{unit}"] = asd(distances)
        row[f"assd_{unit}"] = assd(distances)
    return row


def _bounding_box(mask: Mask) -> tuple[slice, ...]:
    # No margin is needed: outside the box both masks are background, as outside a volume.
    occupied = (np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    return tuple(slice(int(where[0]), int(where[-1]) + 1) for where in occupied)


def _surface(mask: Mask) -> Mask:
    padded = np.pad(mask, 1)
    core = padded[1:-1, 1:-1, 1:-1]
    inner = core.copy()
    for axis in range(3):
        lower, upper = [slice(1, -1)] * 3, [slice(1, -1)] * 3
        lower[axis], upper[axis] = slice(None, -2), slice(2, None)
        inner &= padded[tuple(lower)] & padded[tuple(upper)]
    return core & ~inner


def _between(truth: Mask, prediction: Mask, spacing: Spacing) -> SurfaceDistances:
    return SurfaceDistances(
        _nearest(prediction, truth, spacing), _nearest(truth, prediction, spacing)
    )


def _nearest(voxels: Mask, surface: Mask, spacing: Spacing) -> Distances:
    """Measures the distance of each of some voxels to the nearest one of a surface.

    Most are near: steps are tried in order of their length, for all voxels still without an
    answer at once. What is left asks a tree.
    """
    around = np.pad(surface, REACH)
    at = np.flatnonzero(np.pad(voxels, REACH))
    flat, left, distances = around.ravel(), np.arange(len(at)), np.empty(len(at))
    for step, length in _steps(around.shape, spacing):
        found = flat[at + step]
        distances[left[found]] = length
        at, left = at[~found], left[~found]
    if len(left):
        # Few are left to ask: a coarse tree, soon built.
        places = _places(np.flatnonzero(flat), around.shape, spacing)
        tree = KDTree(places, leafsize=32, compact_nodes=False, balanced_tree=False)
        distances[left], _ = tree.query(_places(at, around.shape, spacing))
    return distances


def _steps(shape: tuple[int, ...], spacing: Spacing) -> Iterator[tuple[int, float]]:
    """Yields steps in a flat array and their lengths, the shortest first, none left out."""
    reach = range(-REACH, REACH + 1)
    steps = np.array(list(product(reach, reach, reach)))
    lengths = np.linalg.norm(steps * spacing, axis=1)
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    for i in np.argsort(lengths, kind="stable"):
        if lengths[i] >= (REACH + 1) * min(spacing):
            break
        yield int(steps[i] @ strides), float(lengths[i])


def _places(flat: NDArray[np.intp], shape: tuple[int, ...], spacing: Spacing) -> Distances:
    """Computes coordinates ``(n, 3)`` of flat indices, in the unit of the spacing."""
    places: Distances = np.stack(np.unravel_index(flat, shape), 1) * np.asarray(spacing)
    return places


def hd95(distances: SurfaceDistances) -> float:
    """Computes the 95th percentile of both directions' distances pooled (medpy's convention).

    >>> hd95(SurfaceDistances(np.arange(100.0), np.array([0.0])))
    94.0
    """
    return float(np.percentile(_pooled(distances), 95))


def hd95_max(distances: SurfaceDistances) -> float:
    """Takes the larger of the 95th percentiles of the two directions (MONAI's convention)."""
    directions = distances.to_truth, distances.to_prediction
    return max(float(np.percentile(direction, 95)) for direction in directions)


def hd_max(distances: SurfaceDistances) -> float:
    """Takes the largest distance of either direction: the Hausdorff distance."""
    return float(_pooled(distances).max())


def asd(distances: SurfaceDistances) -> float:
    """Averages the distances from the prediction's surface to the truth's; directed."""
    return float(distances.to_truth.mean())


def assd(distances: SurfaceDistances) -> float:
    """Averages the distances of both directions pooled; symmetric.

    >>> assd(SurfaceDistances(np.array([0.0, 3.0]), np.array([0.0])))
    1.0
    """
    return float(_pooled(distances).mean())


def _pooled(distances: SurfaceDistances) -> Distances:
    return np.concatenate([distances.to_truth, distances.to_prediction])


def best_threshold(image: NDArray[np.generic], truth: Mask) -> tuple[float, float]:
    """Finds the global threshold of best Dice when chosen with the label, and that Dice.

    It is exact: every distinct value is tried. A model that has learned anything beats it. Among
    equal ones the lowest wins. An empty truth is met best by an infinite threshold.

    Args:
        image: intensities, any shape and real type.
        truth: label of the same shape, bool.

    Returns:
        ``(threshold, dsc)`` of the mask ``image >= threshold``.

    Raises:
        BadInput: shapes differ, or the image holds NaN.

    >>> best_threshold(np.array([1, 5, 9, 7]), np.array([False, False, True, True]))
    (7.0, 1.0)
    """
    if image.shape != truth.shape:
        raise BadInput(f"image {image.shape} and truth {truth.shape} differ in shape: align them")
    values, inside = np.sort(image, axis=None), np.sort(image[truth])
    if np.isnan(values[-1:]).any():  # NaN sorts last
        raise BadInput("image holds NaN: replace it before a threshold is sought")
    if not inside.size:
        return math.inf, 1.0
    # Between two foreground values a higher threshold only loses false positives.
    candidates = np.unique(inside)
    hits = inside.size - np.searchsorted(inside, candidates)
    predicted = values.size - np.searchsorted(values, candidates)
    scores = 2 * hits / (predicted + inside.size)
    best = int(np.argmax(scores))
    return float(candidates[best]), float(scores[best])
