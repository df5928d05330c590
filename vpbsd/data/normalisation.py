"""The five ways from raw intensities to the image in [0, 1] that networks see.

Each is made of what is stored of one volume and of nothing else: no other volume takes part, so
none can leak into it, and a volume of any size needs no pass over its voxels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpbsd.config import Data
from vpbsd.data.intensity import TABULATED, Histogram, Table, normalise
from vpbsd.errors import BadInput

Scale = Callable[[NDArray[Any]], NDArray[np.float32]]
"""Maps a block of raw intensities to [0, 1], same shape."""

SPREAD = 4.0  # deviations on either side of the tissue's median that [0, 1] spans
REST = 1e-3  # share of the brightest voxels that `match` maps to 1
SIDE = 32  # voxels of the box that `local` compares a voxel with
LEAST_DEVIATION = 0.02  # of a clipped image: noise of an empty region is not blown up
LOCAL = (-2.0, 6.0)  # local deviations that [0, 1] spans: vessels are rare and bright


@dataclass(frozen=True)
class Linear:
    """Clips to low..high and maps that to 0..1."""

    low: float
    high: float

    def __call__(self, block: NDArray[Any]) -> NDArray[np.float32]:
        """Maps a block of any shape."""
        return normalise(block, self.low, self.high)


@dataclass(frozen=True)
class Matched:
    """Maps each value of a histogram to where a fixed exponential distribution has its rank.

    Microscopy is mostly dark with a bright tail, as that distribution is. A value of which a share
    p of the voxels is darker, ties counted by half, goes to -ln(1 - p) / ln(1000), at most 1: the
    median to .10, the 90th percentile to .33, the 99th to .67. Any increasing change of the
    intensities leaves the image as it was.
    """

    values: NDArray[Any]
    levels: NDArray[np.float64]

    @classmethod
    def of(cls, histogram: Histogram) -> Matched:
        """Makes the map of a volume; a constant one becomes zeros."""
        counts = histogram.counts
        darker = (np.cumsum(counts) - counts / 2) / counts.sum()
        levels = np.minimum(np.log1p(-darker) / log(REST), 1)
        return cls(histogram.values, levels if len(counts) > 1 else np.zeros(1))

    def __call__(self, block: NDArray[Any]) -> NDArray[np.float32]:
        """Maps a block of any shape; between two values of the histogram, linearly."""
        return np.asarray(np.interp(block, self.values, self.levels), np.float32)


@dataclass(frozen=True)
class Local:
    """Clips as `Linear`, then compares each voxel with the box of 32^3 voxels about it.

    (x - mean) / (deviation + .02), of which -2..6 becomes 0..1. A box ends where the block ends,
    mirrored: the network sees the same in a training patch and in a window of a large volume.
    """

    clipped: Linear

    def __call__(self, block: NDArray[Any]) -> NDArray[np.float32]:
        """Maps a block (z, y, x)."""
        from scipy.ndimage import uniform_filter  # slow to load, and a plan needs none of it

        x = self.clipped(block).astype(np.float64)
        mean = uniform_filter(x, SIDE, mode="reflect")
        variance = uniform_filter(x * x, SIDE, mode="reflect") - mean**2
        z = (x - mean) / (np.sqrt(np.maximum(variance, 0)) + LEAST_DEVIATION)
        low, high = LOCAL
        return ((np.clip(z, low, high) - low) / (high - low)).astype(np.float32)


def scale(data: Data, stored: Histogram | Table, name: str) -> Scale:
    """Makes the map that `data.intensity` asks for.

    Args:
        data: Kind of normalisation, clip percentile.
        stored: What is known of the volume's intensities.
        name: Of the volume, for messages.

    Raises:
        BadInput: The percentile is not stored, there is no histogram where one is needed, or
            nothing of the contrast would be left.
    """
    if data.intensity == "window":
        assert data.window is not None, "one is stated where it is used"
        return Linear(*data.window)
    if data.intensity in ("percentile", "local"):
        clipped = Linear(*limits(stored, data.clip_percentile, name))
        return clipped if data.intensity == "percentile" else Local(clipped)
    if isinstance(stored, Table):
        raise BadInput(
            f"volume {name}: data.intensity={data.intensity} needs the count of every value, "
            "which only volumes of 8- or 16-bit integers have: import it as one, or use percentile"
        )
    return Matched.of(stored) if data.intensity == "match" else Linear(*tissue(stored, name))


def limits(stored: Histogram | Table, percentile: float, name: str) -> tuple[float, float]:
    """Finds a volume's minimum and one of its percentiles.

    Raises:
        BadInput: The percentile is not stored, or clipping there would erase all contrast.
    """
    low, high = (stored.percentile(p) for p in (0, percentile))
    if low == high < stored.percentile(100):
        better = [p for p in TABULATED if stored.percentile(p) > low]
        raise BadInput(
            f"volume {name}: percentile {percentile:g} is also the minimum "
            f"({low:g}), so clipping there leaves nothing: clip at {better[0]:g} or above"
        )
    return low, high


def tissue(histogram: Histogram, name: str) -> tuple[float, float]:
    """Finds the intensities four deviations below and above the tissue's median.

    Tissue is what lies above Otsu's threshold; its deviation is half the way from its 16th to its
    84th percentile, which a few bright voxels cannot move.

    Raises:
        BadInput: All tissue has one brightness.

    >>> tissue(Histogram(np.array([0, 90, 100, 110]), np.array([60, 10, 20, 10])), "v")
    (60.0, 140.0)
    """
    if len(histogram.values) == 1:
        return float(histogram.values[0]), float(histogram.values[0])
    above = histogram.values > otsu(histogram)
    bright = Histogram(histogram.values[above], histogram.counts[above])
    first, median, last = (bright.percentile(p) for p in (16, 50, 84))
    if first == last:
        raise BadInput(
            f"volume {name}: most of its tissue has the brightness {median:g}, so there is no "
            "deviation to scale it by: use data.intensity=percentile"
        )
    half = SPREAD * (last - first) / 2
    return median - half, median + half


def otsu(histogram: Histogram) -> float:
    """Finds the value at or below which voxels are background (Otsu 1979).

    It maximises the variance between the two classes, both of which hold voxels.

    >>> otsu(Histogram(np.array([0, 1, 10, 11]), np.array([5, 5, 5, 5])))
    1.0
    """
    values, counts = histogram.values.astype(float), histogram.counts.astype(float)
    below, mass = np.cumsum(counts)[:-1], np.cumsum(counts * values)[:-1]
    above = counts.sum() - below
    gap = mass / below - ((counts * values).sum() - mass) / above
    return float(values[np.argmax(below * above * gap**2)])
