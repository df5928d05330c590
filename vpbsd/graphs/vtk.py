"""A graph as VTK lines, which ParaView, 3D Slicer and PyVista open, as VMTK's centre lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vpbsd.drafts import draft_of
from vpbsd.graphs.tables import Columns, batches

MOST_POINTS = 10_000_000
"""Points up to which the file is written: readers load all of it."""


def write_vtu(out: Path, segments: Columns) -> Path | None:
    """Writes graph.vtu: lines (x, y, z) in micrometres, with radii and numbers of segments.

    Args:
        out: Folder of a graph, whose points are written.
        segments: Its table.

    Returns:
        The file; None for graphs of more than `MOST_POINTS` points.
    """
    import meshio

    parts = list(batches(out / "points.parquet")) if _count(segments) <= MOST_POINTS else []
    if not parts:
        return None
    number, z, y, x, radius = (
        np.concatenate([part[name] for part in parts])
        for name in ("segment", "z_um", "y_um", "x_um", "radius_um")
    )
    begins = np.flatnonzero(number[:-1] == number[1:])
    of = number[begins]
    mesh = meshio.Mesh(
        np.stack([x, y, z], axis=1),
        [("line", np.stack([begins, begins + 1], axis=1))],
        point_data={"radius_um": radius},
        cell_data={
            "segment": [of],
            "component": [np.asarray(segments["component"])[of]],
            "mean_radius_um": [np.asarray(segments["radius_um"])[of]],
        },
    )
    path = out / "graph.vtu"
    with draft_of(path) as draft:
        mesh.write(draft)
    return path


def _count(segments: Columns) -> int:
    return int(np.asarray(segments["points"]).sum())
