"""Lines through voxels, smoothed, and their lengths."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

REACH = 2
"""Points on either side that a point is averaged with: voxels go in steps, vessels do not."""


def smoothed(points: Points, *, closed: bool) -> Points:
    """Averages each point of a line with up to `REACH` on either side, equally many on both.

    Args:
        points: (n, 3). The first and the last stay where they are, unless the line is closed.
        closed: Whether the last point is followed by the first, which is not repeated.
    """
    n = len(points)
    if closed:
        reach = np.full(n, min(REACH, (n - 1) // 2))
        points = np.concatenate([points[n - REACH :], points, points[:REACH]])
        at = np.arange(n) + len(points[: n + REACH]) - n
    else:
        at = np.arange(n)
        reach = np.minimum(np.minimum(at, at[::-1]), REACH)
    summed = np.concatenate([np.zeros((1, 3)), np.cumsum(points, axis=0)])
    means: Points = (summed[at + reach + 1] - summed[at - reach]) / (2 * reach + 1)[:, None]
    return means


def length(points: Points, *, closed: bool) -> float:
    """Sums the distances from point to point, and back to the first if closed.

    >>> length(np.array([[0.0, 0, 0], [0, 3, 4], [0, 3, 0]]), closed=False)
    9.0
    """
    if closed:
        points = np.concatenate([points, points[:1]])
    return float(np.sqrt((np.diff(points, axis=0) ** 2).sum(1)).sum())
