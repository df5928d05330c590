"""The map from raw intensities to [0, 1] that a volume's tissue asks for, whatever lies around it.

A network was trained on volumes that are all tissue, and normalised by their intensities. In a
volume that is not, the same is asked of the intensities of its tissue; in one that is, nothing
changes, but for voxels that are dead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from vpbsd.config import Data
from vpbsd.data.intensity import TABULATED, Counter, Histogram, Table, countable
from vpbsd.data.normalisation import Scale, scale

DEAD = 1e-5
"""Share of voxels that may be dead, or three of them."""
APART = 0.25
"""Of the way to the median: how far dead voxels lie from all others."""
MASS = 0.01
"""Share of voxels, very dark or saturated, that is no tissue."""
NARROW = 0.1
"""How wide a dark mass may be, against the 5th to the 95th percentile of the rest."""


def scale_of(stored: Histogram | Table, data: Data, name: str) -> Scale:
    """Makes the map of a volume from the intensities of its tissue.

    Args:
        stored: How often each occurs, or some percentiles.
        data: Kind of normalisation, clip percentile.
        name: Of the volume, for messages.

    Raises:
        BadInput: See `normalisation.scale`.
    """
    return scale(data, without_dead(stored) if _is_counted(stored) else stored, name)


def count(pieces: Sequence[NDArray[Any]]) -> Histogram | Table:
    """Counts the intensities of some voxels, or tabulates their percentiles."""
    dtype = pieces[0].dtype
    if countable(dtype):
        counter = Counter(dtype)
        for voxels in pieces:
            counter.add(voxels)
        return counter.histogram()
    found = np.percentile(np.concatenate(pieces), TABULATED)
    return Table(dict(zip(TABULATED, found.tolist(), strict=True)))


def without_dead(histogram: Histogram) -> Histogram:
    """Leaves out the few darkest voxels, if they lie far below all others.

    >>> without_dead(Histogram(np.array([0, 90, 100, 110]), np.array([1, 20, 90, 9]))).values
    array([ 90, 100, 110])
    """
    values, counts, median = histogram.values, histogram.counts, histogram.percentile(50)
    few = np.cumsum(counts)[:-1] <= max(3, DEAD * counts.sum())
    apart = np.diff(values) > APART * np.maximum(median - values[1:], 0)
    found = np.flatnonzero(few & apart & (values[1:] < median))
    first = found[-1] + 1 if len(found) else 0
    return Histogram(values[first:], counts[first:])


def masses(stored: Histogram | Table, usual: float = 0.0) -> list[tuple[float, float]]:
    """Finds the intensities, from one to another, that too many voxels have to be tissue.

    Saturated voxels are all at the highest value. Zeros, and a camera's noise, are a narrow peak
    at the dark end of the histogram.

    Args:
        stored: Of all voxels of a volume.
        usual: The largest share of voxels in such a mass in training volumes, see `largest_mass`.
    """
    found = _masses(stored) if _is_counted(stored) else {}
    return [place for place, share in found.items() if share > MASS + 2 * usual]


def largest_mass(stored: Histogram | Table) -> float:
    """Computes the largest share of voxels in a mass of saturated or of dark ones.

    >>> largest_mass(Histogram(np.array([1, 20, 25, 90, 255]), np.array([9, 50, 20, 1, 20])))
    0.2
    """
    return max(_masses(stored).values(), default=0.0) if _is_counted(stored) else 0.0


def _is_counted(stored: Histogram | Table) -> TypeGuard[Histogram]:
    """Tells counts of small integers from all else, which a volume on disk has no counts of."""
    return isinstance(stored, Histogram) and stored.values.dtype.kind in "iu"


def _masses(histogram: Histogram) -> dict[tuple[float, float], float]:
    values, counts = histogram.values.astype(float), histogram.counts
    found: dict[tuple[float, float], float] = {}
    if len(values) < 3:
        return found
    top = float(values[-1])
    near = values >= top - 0.1 * (top - histogram.percentile(50))
    if counts[-1] > 4 * (counts[near].sum() - counts[-1]):
        found[top, top] = float(counts[-1] / counts.sum())
        values, counts = values[:-1], counts[:-1]
    low, high = _peak(values, counts)
    rest = Histogram(values[values > high].astype(np.int64), counts[values > high])
    within = counts[(values >= low) & (values <= high)].sum()
    dark = counts[values < low].sum() < MASS * within
    if dark and len(rest.values) > 1:
        wide = rest.percentile(95) - rest.percentile(5)
        if high - low < NARROW * wide and high < rest.percentile(5):
            reach = (high - low) / 2  # of the peak's tails
            found[low - reach, high + reach] = float(within / histogram.counts.sum())
    return found


def _peak(values: NDArray[np.float64], counts: NDArray[np.int64]) -> tuple[float, float]:
    """Finds where the density about its highest peak is above a fiftieth of it."""
    from scipy.ndimage import uniform_filter1d  # slow to load

    first = values[0]
    dense = np.bincount((values - first).astype(np.int64), counts)
    smooth = uniform_filter1d(dense, max(1, len(dense) // 4000), mode="constant")
    peak = int(np.argmax(smooth))
    few = np.flatnonzero(smooth < smooth[peak] / 50)
    after, before = few[few > peak], few[few < peak]
    high = after[0] - 1 if len(after) else len(dense) - 1
    low = before[-1] + 1 if len(before) else 0
    return float(first + low), float(first + high)
