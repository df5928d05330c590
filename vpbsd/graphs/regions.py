"""Vessels by region: volume, length, branch points and radii in each region of an atlas."""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpbsd.data.boxes import blocks
from vpbsd.data.volumes import Slices, Spacing
from vpbsd.errors import BadInput
from vpbsd.graphs.atlas import Atlas, read_names
from vpbsd.graphs.graph import SIDE, check_installed, graph, unreadable, voxel_size
from vpbsd.graphs.region_plot import draw_regions
from vpbsd.graphs.source import MaskVolume, opened_mask
from vpbsd.graphs.summary import quantiles
from vpbsd.graphs.tables import Columns, batches, read_parquet, write_csv, write_parquet
from vpbsd.inference.source import imported

BIN_UM = 0.05
"""Radii are counted in bins as wide as this; their quantiles are exact to it."""
QUANTILES = (0.1, 0.5, 0.9)


@dataclass
class Tally:
    """What is counted of a region."""

    voxels: int = 0
    vessel: int = 0
    length_um: float = 0.0
    branches: int = 0
    radius_length: float = 0.0
    radii: dict[int, float] = field(default_factory=lambda: defaultdict(float))


def regions(  # noqa: PLR0913 (what is optional has a name of its own)
    mask: str | Path,
    atlas: str | Path,
    out: str | Path,
    *,
    graph_folder: str | Path | None = None,
    names: str | Path | None = None,
    spacing_um: Spacing | None = None,
    atlas_um: Spacing | None = None,
    workers: int | None = None,
) -> Columns:
    """Writes what each region of an atlas holds: regions.csv, regions.parquet and regions.png.

    Args:
        mask: See `vpbsd.graphs.source.opened_mask`.
        atlas: A label image of any voxel size in the mask's space: what could be imported.
        out: A folder, made where missing.
        graph_folder: The mask's graph; None: `out`/graph, made where missing.
        names: CSV with the columns id and name.
        spacing_um: Voxel size of the mask where it states none.
        atlas_um: Voxel size of the atlas where it states none.
        workers: Processes that make the graph.

    Returns:
        The table.

    Raises:
        BadInput: Something of it cannot be read, or does not fit.
    """
    check_installed()
    mask, atlas, out = Path(mask), Path(atlas), Path(out)
    called = read_names(Path(names) if names else None)
    folder = Path(graph_folder) if graph_folder else out / "graph"
    _claim(out)
    if graph_folder is None:
        graph(mask, folder, spacing_um=spacing_um, workers=workers)
    ask = None if atlas_um else "--atlas-spacing"
    with opened_mask(mask, out / "mask") as volume, imported(atlas, out / "atlas", ask) as info:
        spacing = voxel_size(volume, spacing_um)
        _check_graph(folder, volume, spacing)
        if (own := atlas_um or info.spacing_um) is None:
            raise BadInput(f"{info.name} states no voxel size: give --atlas-spacing Z Y X in um")
        areas = Atlas(info, own, volume.shape, spacing)
        tallies: dict[int, Tally] = defaultdict(Tally)
        _count_voxels(volume, areas, tallies)
        _count_lines(folder, areas, tallies)
    table = _table(tallies, spacing, called)
    try:
        write_parquet(out / "regions.parquet", table)
        write_csv(out / "regions.csv", table)
        draw_regions(table, out / "regions.png")
    except OSError as error:
        raise BadInput(unreadable(error, out)) from error
    return table


def _claim(out: Path) -> None:
    """Makes the folder; one with anything else in it is refused.

    Raises:
        BadInput: It is no folder, or holds what is not ours.
    """
    ours = {"graph", "regions.csv", "regions.parquet", "regions.png"}
    try:
        out.mkdir(parents=True, exist_ok=True)
        others = sorted(p.name for p in out.iterdir() if p.name not in ours and p.name[0] != ".")
    except OSError as error:
        raise BadInput(f"{out} cannot be written: {error.strerror or error}") from error
    if others:
        raise BadInput(
            f"{out} holds {others[0]}, which is no table of regions: choose another name"
        )


def _check_graph(folder: Path, volume: MaskVolume, spacing: Spacing) -> None:
    """Refuses a graph of another mask, or one that is not whole."""
    try:
        source: Any = json.loads((folder / "summary.json").read_text("utf-8"))["source"]
    except (OSError, ValueError, KeyError):
        raise BadInput(f"{folder} is no whole graph: run vpbsd graph first") from None
    if source["mask"] != volume.identity or tuple(source["spacing_um"]) != spacing:
        raise BadInput(f"{folder} is the graph of another mask or voxel size: make this mask's")


def _count_voxels(volume: MaskVolume, areas: Atlas, tallies: dict[int, Tally]) -> None:
    every = blocks(volume.shape, SIDE)
    began = time.monotonic()
    for number, block in enumerate(every, start=1):
        volume.check(block)
        _count_block(volume, areas, block, tallies)
        rest = (time.monotonic() - began) / number * (len(every) - number)
        print(f"regions of block {number}/{len(every)}, about {rest:.0f} s left", file=sys.stderr)


def _count_block(
    volume: MaskVolume, areas: Atlas, block: Slices, tallies: dict[int, Tally]
) -> None:
    cells, starts = areas.cells(block)
    ends = [[*first[1:], b.stop - b.start] for first, b in zip(starts, block, strict=True)]
    z, y, x = (np.array(end) - first for end, first in zip(ends, starts, strict=True))
    vessels: NDArray[Any] = volume.read(block)
    for axis, first in enumerate(starts):
        vessels = np.add.reduceat(vessels, first, axis=axis, dtype=np.int64)
    values, number = np.unique(cells, return_inverse=True)
    sums = (z[:, None, None] * y[:, None] * x, vessels)
    voxels, vessel = (np.bincount(number.reshape(-1), each.reshape(-1)) for each in sums)
    for value, all_of, of_vessel in zip(values.tolist(), voxels, vessel, strict=True):
        tallies[value].voxels += int(all_of)
        tallies[value].vessel += int(of_vessel)


def _count_lines(folder: Path, areas: Atlas, tallies: dict[int, Tally]) -> None:
    """Counts steps of lines by the region of their middle, and branch points by theirs."""
    for part in batches(folder / "points.parquet"):
        place, number = _places(part), np.asarray(part["segment"])
        begins = np.flatnonzero(number[:-1] == number[1:])
        length = np.linalg.norm(place[begins + 1] - place[begins], axis=1)
        radius = np.asarray(part["radius_um"], np.float64)
        radius = (radius[begins] + radius[begins + 1]) / 2
        values = areas.at((place[begins] + place[begins + 1]) / 2)
        _add_steps(values, length, radius, tallies)
    nodes = read_parquet(folder / "nodes.parquet")
    branches = areas.at(_places(nodes)[np.asarray(nodes["kind"]) == "branch"])
    for value, count in zip(*np.unique(branches, return_counts=True), strict=True):
        tallies[int(value)].branches += int(count)


def _add_steps(
    values: NDArray[np.int64],
    length: NDArray[np.float64],
    radius: NDArray[np.float64],
    tallies: dict[int, Tally],
) -> None:
    for value in np.unique(values).tolist():
        mine = values == value
        tally = tallies[value]
        tally.length_um += float(length[mine].sum())
        tally.radius_length += float((radius[mine] * length[mine]).sum())
        bins = np.rint(radius[mine] / BIN_UM).astype(np.int64)
        summed = np.bincount(bins, length[mine])
        for one in np.flatnonzero(summed).tolist():
            tally.radii[one] += float(summed[one])


def _places(columns: Columns) -> NDArray[np.float64]:
    return np.stack([np.asarray(columns[f"{axis}_um"], np.float64) for axis in "zyx"], axis=1)


def _table(tallies: dict[int, Tally], spacing: Spacing, names: dict[int, str]) -> Columns:
    """Tables the regions by id, what lies outside first."""
    ids = sorted(tallies)
    found = [tallies[i] for i in ids]
    volume = np.array([t.voxels for t in found]) * prod(spacing) / 1e9
    vessel = np.array([t.vessel for t in found]) * prod(spacing) / 1e9
    length = np.array([t.length_um for t in found]) / 1000
    branches = np.array([t.branches for t in found])
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.array([t.radius_length for t in found]) / (1000 * length)
        columns: Columns = {
            "id": np.array(ids, np.int64),
            "name": np.array([names.get(i, "outside" if i == 0 else str(i)) for i in ids]),
            "volume_mm3": volume,
            "vessel_mm3": vessel,
            "vessel_share": vessel / volume,
            "length_mm": length,
            "length_density_mm_per_mm3": length / volume,
            "branch_points": branches,
            "branch_points_per_mm3": branches / volume,
            "radius_mean_um": mean,
        }
    for share, values in zip(QUANTILES, np.array([_radii(t) for t in found]).T, strict=True):
        columns[f"radius_p{round(100 * share)}_um"] = values
    return columns


def _radii(tally: Tally) -> list[float]:
    bins = np.array(sorted(tally.radii), np.float64)
    weights = np.array([tally.radii[int(b)] for b in bins])
    return [np.nan if v is None else v * BIN_UM for v in quantiles(bins, weights, QUANTILES)]
