"""What a graph comes to: lengths, densities, and the distribution of radii."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpbsd.data.volumes import Shape, Spacing
from vpbsd.graphs.tables import Columns

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def summarise(
    segments: Columns, nodes: Columns, vessel: int, shape: Shape, spacing_um: Spacing
) -> dict[str, Any]:
    """Sums a graph up.

    Args:
        segments: Its table.
        nodes: Its table.
        vessel: Vessel voxels.
        shape: Of the volume.
        spacing_um: Voxel size.

    Returns:
        Numbers by name; radii are weighted by length.
    """
    volume = prod(shape) * prod(spacing_um) / 1e9
    length = np.asarray(segments["length_um"], np.float64)
    total = float(length.sum()) / 1000
    ends = np.asarray(nodes["kind"]) == "end"
    branches = int(np.count_nonzero(~ends))
    components = len(np.unique(segments["component"]))
    rings = int(np.count_nonzero(np.asarray(segments["node_a"], np.int64) < 0))
    radius = np.asarray(segments["radius_um"], np.float64)
    return {
        "volume_mm3": volume,
        "vessel_share": vessel / prod(shape),
        "length_mm": total,
        "length_density_mm_per_mm3": total / volume,
        "segments": len(length),
        "branch_points": branches,
        "branch_points_per_mm3": branches / volume,
        "end_points": len(nodes["node"]) - branches,
        "end_points_at_face": int(np.count_nonzero(np.asarray(nodes["at_face"]) & ends)),
        "components": components,
        "loops": len(length) - len(nodes["node"]) + components - rings,
        "radius_mean_um": float(np.average(radius, weights=length)) if len(length) else None,
        "radius_um": {
            f"p{round(100 * q)}": value
            for q, value in zip(QUANTILES, quantiles(radius, length, QUANTILES), strict=True)
        },
    }


def quantiles(
    values: NDArray[np.float64], weights: NDArray[np.float64], shares: tuple[float, ...]
) -> list[float | None]:
    """Finds the smallest values that at least a share of all weight does not exceed.

    >>> quantiles(np.array([3.0, 1, 2]), np.array([1.0, 1, 2]), (0.25, 0.5, 1))
    [1.0, 2.0, 3.0]
    """
    if len(values) == 0:
        return [None] * len(shares)
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    at = np.searchsorted(reached, np.array(shares) * reached[-1] * (1 - 1e-12))
    return [float(v) for v in values[order][at]]
