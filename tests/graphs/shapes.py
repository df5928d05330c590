"""Masks whose networks are known."""

import numpy as np

from vpbsd.data.phantom import phantom
from vpbsd.data.volume_writer import write_array
from vpbsd.graphs.graph import graph
from vpbsd.graphs.tables import read_parquet


def ball_along(shape, a, b, radius):
    """All voxels within a radius of the line from a to b."""
    grid = np.stack(np.indices(shape), -1).astype(float)
    a, b = np.array(a, float), np.array(b, float)
    along = np.clip((grid - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
    return np.linalg.norm(grid - a - along[..., None] * (b - a), axis=-1) <= radius


def torus(shape, large, small, spacing=(1, 1, 1)):
    """A torus around the middle, its axis along z; radii in the unit of spacing."""
    z, y, x = ((i - n // 2) * s for i, n, s in zip(np.indices(shape), shape, spacing, strict=True))
    return np.hypot(np.hypot(y, x) - large, z) <= small


def vessels(shape=(40, 64, 72), seed=3):
    """A phantom's label."""
    return phantom(seed, shape)[1] > 0


def made(tmp_path, mask, spacing=(1.0, 1.0, 1.0), name="graph", **options):
    """The summary, segments and nodes of a mask, by way of files."""
    data = tmp_path / "data"
    if not (data / "mask.ome.zarr").exists():
        write_array(data, "mask", mask.astype(np.uint8), spacing_um=spacing, group="g")
    out = tmp_path / name
    options = {"workers": 1} | options
    summary = graph(data / "mask.ome.zarr", out, **options)
    return summary, read_parquet(out / "segments.parquet"), read_parquet(out / "nodes.parquet")
