"""Whether a volume is too dark or too bright, by the intensities that were counted at import."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vpbsd.data.intensity import Histogram
from vpbsd.data.volumes import VolumeInfo, open_volume

CLIPPED = 0.005
"""Share of voxels at the highest value from which a volume is called saturated."""
LEVELS = 16
"""Grey levels between the 1st and the 99.9th percentile that a volume must have not to be flat."""
TOPS = (255, 1023, 4095, 16383, 65535)  # highest values of cameras of 8 to 16 bits


def exposure(info: VolumeInfo) -> Iterator[str]:
    """Yields a line if a volume is saturated, and one if it is dark; types beyond 16 bits: none.

    >>> list(judged(np.array([3, 255]), np.array([9, 1])))
    ['10.0 % of its voxels have the highest value, 255: it is saturated']
    """
    counted = open_volume(info).intensity
    if isinstance(counted, Histogram):
        for line in judged(counted.values, counted.counts):
            yield f"note: {info.name}: {line}"


def judged(values: NDArray[np.int64], counts: NDArray[np.int64]) -> Iterator[str]:
    """Yields what is odd about a histogram: values, ascending, and how often each occurs."""
    share = counts[-1] / counts.sum()
    if share > CLIPPED and values[-1] in TOPS:
        yield (
            f"{100 * share:.1f} % of its voxels have the highest value, {values[-1]}: it is "
            "saturated"
        )
        return
    histogram = Histogram(values, counts)
    low, high = (histogram.percentile(p) for p in (1, 99.9))
    if high - low < LEVELS:
        yield f"nearly all its voxels lie between {low:g} and {high:g}: it is dark or flat"
