"""Skeletons of vessel masks and what is read off them: clDice and the skeleton matching distance.

The skeleton matching distance (SMD, printed as GWD in some tables) is the optimal transport cost
between the skeletons of two masks, with uniform weights on their voxels and the cost
``C = ln(1 + d) / ln(1 + R)``, where d is the distance of two voxels in index coordinates and R the
diagonal of a 64^3 block. It is read on the non-overlapping 64^3 tiles of a volume.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from skimage.morphology import skeletonize

Mask = NDArray[np.bool_]
Tile = tuple[slice, ...]

TILE = 64
_LARGEST = 3 * (TILE - 1) ** 2
_EPSILON = 0.01
_POINTS = 3000
_NEIGHBOURS = 24

# Squared distances inside a tile are integers, so cost and kernel are looked up, not computed.
_COST = np.log1p(np.sqrt(np.arange(_LARGEST + 1.0))) / np.log1p(np.sqrt(_LARGEST))
_KERNEL = np.exp(-_COST / _EPSILON)  # at least 3.7e-44, so float64 needs no log domain


def skeleton(mask: Mask) -> Mask:
    """Thins a ``(z, y, x)`` mask to its centre lines, one voxel wide, by Lee's method.

    Source: Lee, Kashyap and Chu, 1994, as in scikit-image. The ends of a tube come out shorter by
    about its radius. A blob of even size, such as 2 x 2 x 2, can be thinned away altogether; where
    that leaves nothing, the mask is its own skeleton, so that only empty masks have empty ones.

    >>> tube = np.zeros((5, 5, 9), bool)
    >>> tube[1:4, 1:4] = True
    >>> np.argwhere(skeleton(tube)[:, :, 4]).tolist()
    [[2, 2]]
    """
    lines = np.asarray(skeletonize(mask)) > 0
    return lines if lines.any() else mask


def cldice(truth: Mask, prediction: Mask) -> dict[str, float]:
    """Measures the hard centre-line Dice in [0, 1], and its two parts.

    ``cl_precision`` is the share of the prediction's skeleton inside the truth, ``cl_sensitivity``
    the share of the truth's skeleton inside the prediction, ``cldice`` their harmonic mean. Both
    masks empty: all 1. One empty: all 0. Source: Shit et al. 2021, equations 1 and 2.
    """
    lines_truth, lines_prediction = skeleton(truth), skeleton(prediction)
    both_empty = not (lines_truth.any() or lines_prediction.any())
    precision = _inside(lines_prediction, truth, float(both_empty))
    sensitivity = _inside(lines_truth, prediction, float(both_empty))
    total = precision + sensitivity
    harmonic = 2 * precision * sensitivity / total if total else 0.0
    return {"cldice": harmonic, "cl_precision": precision, "cl_sensitivity": sensitivity}


def _inside(lines: Mask, mask: Mask, empty: float) -> float:
    length = int(np.count_nonzero(lines))
    return int(np.count_nonzero(lines & mask)) / length if length else empty


def skeleton_matching(truth: Mask, prediction: Mask) -> dict[str, float]:
    """Measures skeleton matching distances of two ``(z, y, x)`` masks; 0 is best.

    Both columns are means over the 64^3 tiles in which at least one mask has foreground (0.0 where
    there is none). A tile is skeletonised on its own. At the border tiles may be smaller; their
    costs are still divided by ln(1 + R) of a full tile, 4.7016. At most 3000 points of a skeleton
    are used, drawn from a fixed seed. An empty mask stands as one point at the tile's first voxel,
    in both columns: a missed tile then costs about .9, more than vessels in wrong places (about
    .7), and stays finite.

    Returns:
        ``smd``: see `matching`. ``smd_ref``: see `matching_ref`. ``smd_marginal_error``: the worst
        marginal error of ``smd`` over the tiles, 0 where Sinkhorn has converged.
    """
    rows = [
        _tile_distances(truth[tile], prediction[tile])
        for tile in _tiles(truth.shape)
        if truth[tile].any() or prediction[tile].any()
    ]
    smd, error, smd_ref = np.array(rows or [(0.0, 0.0, 0.0)]).T
    return {
        "smd": float(smd.mean()),
        "smd_ref": float(smd_ref.mean()),
        "smd_marginal_error": float(error.max()),
    }


def _tiles(shape: tuple[int, ...]) -> Iterator[Tile]:
    starts = product(*(range(0, size, TILE) for size in shape))
    return (tuple(slice(start, start + TILE) for start in corner) for corner in starts)


def _tile_distances(truth: Mask, prediction: Mask) -> tuple[float, float, float]:
    points_prediction, points_truth = skeleton_points(prediction), skeleton_points(truth)
    squared = squared_distances(points_prediction, points_truth)
    # The same cloud goes first whichever mask it comes from: smd is symmetric to the last bit,
    # although Sinkhorn stops before it has converged.
    swap = _order(points_truth) < _order(points_prediction)
    smd, error = matching(np.ascontiguousarray(squared.T) if swap else squared)
    return smd, error, matching_ref(squared)


def _order(points: NDArray[np.float32]) -> tuple[int, bytes]:
    return len(points), points.tobytes()


def skeleton_points(mask: Mask) -> NDArray[np.float32]:
    """Lists index coordinates ``(n, 3)`` of a tile's skeleton, 1 <= n <= 3000."""
    points = np.argwhere(skeleton(mask)).astype(np.float32)
    if len(points) > _POINTS:
        # One seed for both masks: equal masks keep equal points, swapping changes nothing.
        chosen = np.random.default_rng(0).choice(len(points), _POINTS, replace=False)
        return points[np.sort(chosen)]
    return points if len(points) else np.zeros((1, 3), np.float32)


def squared_distances(rows: NDArray[np.float32], columns: NDArray[np.float32]) -> NDArray[np.intp]:
    """Computes squared distances ``(n, m)`` of coordinates in a tile, 0 to 3 * 63^2, exactly.

    >>> squared_distances(np.zeros((1, 3), np.float32), np.array([[1, 2, 2]], np.float32)).item()
    9
    """
    # All terms are integers below 2^24, which float32 holds exactly: the product may run in BLAS.
    squares = (rows**2).sum(1)[:, None] + (columns**2).sum(1)
    squared: NDArray[np.float32] = squares - 2 * (rows @ columns.T)
    return squared.astype(np.intp)


def matching(squared: NDArray[np.intp]) -> tuple[float, float]:
    """Computes the entropic transport cost of two clouds of squared distances ``(n, m)``.

    Sinkhorn's iteration (Cuturi 2013) with eps = .01 and uniform weights, for 200 iterations or
    until the value changes by less than 1e-5 in 20. The value is ``sum(plan * C)``, without the
    entropy. On vessel tiles 200 iterations end about .001 below the limit.

    Returns:
        The value in [0, 1], and the summed error of the row marginals (columns are exact).

    >>> value, error = matching(np.array([[0, 4], [4, 0]]))
    >>> round(value, 6), round(error, 6)
    (0.0, 0.0)
    """
    n, m = squared.shape
    kernel, priced = _KERNEL.take(squared), (_KERNEL * _COST).take(squared)
    v, value = np.ones(m), np.inf
    for _ in range(10):
        for _ in range(20):
            u = 1 / n / (kernel @ v)
            v = 1 / m / (u @ kernel)
        previous, value = value, float(u @ (priced @ v))
        if abs(value - previous) < 1e-5:
            break
    return value, float(np.abs(u * (kernel @ v) - 1 / n).sum())


def matching_ref(squared: NDArray[np.intp]) -> float:
    """Computes the masked variant of SMD's authors, rows = prediction, columns = truth.

    Transport is allowed from each predicted point to its 24 nearest true points, and to each true
    point from the 24 predicted points *farthest* from it; elsewhere plan and cost are 0. eps is
    .01, 1e-8 is added inside each logarithm; at most 100 iterations, fewer once the summed change
    of the rows' potentials is below .1. Asymmetric, and above `matching` where vessels are missed.
    That sum grows with the number of rows: predictions of two to five points stop too early and
    come out too good. Departures: a single point has one plan, the even one, and gets its cost
    (the stop rule would give .26 for a tile without prediction); ties of distance go to the lower
    index; float64; rows and columns are scaled, the same iteration without new exponentials.
    Source: github.com/lwannnn/Skeleton-Matching-Distance, 3D/GWD.py at 4920a914.
    """
    n, m = squared.shape
    if min(n, m) == 1:
        return float(_COST[squared].mean())
    allowed = _allowed(squared)
    column, ends = np.nonzero(allowed)[1], allowed.sum(1).cumsum()
    reached = squared[allowed]
    kernel, priced = (
        csr_array((by_distance[reached], column, np.r_[0, ends]), shape=(n, m))
        for by_distance in (_KERNEL, _KERNEL * _COST)
    )
    turned = kernel.T.tocsr()
    u, v = np.ones(n), np.ones(m)
    for _ in range(100):
        scale = (1 / n + 1e-8) / (u * (kernel @ v) + 1e-8)
        u *= scale
        v *= (1 / m + 1e-8) / (v * (turned @ u) + 1e-8)
        if _EPSILON * np.abs(np.log(scale)).sum() < 0.1:
            break
    return float(u @ (priced @ v))


def _allowed(squared: NDArray[np.intp]) -> Mask:
    """Marks the entries ``(n, m)`` through which `matching_ref` may transport."""
    allowed = np.zeros(squared.shape, bool)
    np.put_along_axis(allowed, _smallest(squared), values=True, axis=1)
    np.put_along_axis(allowed.T, _smallest(-squared.T), values=True, axis=1)
    return allowed


def _smallest(values: NDArray[np.intp]) -> NDArray[np.int32]:
    """Finds the columns ``(n, 24)`` of each row's smallest values, ties to the lower column."""
    columns = np.arange(values.shape[1], dtype=np.int32)
    if len(columns) <= _NEIGHBOURS:
        return np.broadcast_to(columns, values.shape)
    # Ranks are unique, so that ties cannot fall differently elsewhere; below 2^26 in size.
    ranks = values.astype(np.int32) * np.int32(len(columns)) + columns
    ranks.partition(_NEIGHBOURS - 1, axis=1)
    smallest: NDArray[np.int32] = ranks[:, :_NEIGHBOURS] % np.int32(len(columns))
    return smallest
