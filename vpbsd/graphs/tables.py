"""A graph as tables: segments, nodes, and the points of all lines, streamed."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vpbsd.drafts import draft_of
from vpbsd.graphs.lines import Line, Lines
from vpbsd.graphs.network import RING, Network
from vpbsd.graphs.pruning import Pruned

if TYPE_CHECKING:
    import pyarrow as pa

TOGETHER = 50_000
"""Segments whose points are written together."""
Columns = dict[str, NDArray[np.generic]]

_SEGMENT = {"points": np.int32} | {
    name: np.float64
    for name in (
        *("length_um", "chord_um", "tortuosity", "radius_um", "radius_min_um", "radius_max_um"),
        *("z_um", "y_um", "x_um"),
    )
}


def write_tables(
    out: FilePath,
    network: Network,
    lines: Lines,
    pruned: Pruned,
    at_face: NDArray[np.bool_],
) -> tuple[Columns, Columns]:
    """Writes segments.parquet, nodes.parquet and points.parquet; see docs/graph.md for columns.

    Args:
        out: A folder.
        network: Before pruning.
        lines: Of the network.
        pruned: Of the network.
        at_face: (nodes of the network,), where the volume ends.

    Returns:
        Columns of the first two.
    """
    pairs = np.array([path.ends for path in pruned.paths], np.int64).reshape(-1, 2)
    used = np.unique(pairs[pairs != RING])
    numbers = np.where(pairs == RING, RING, np.searchsorted(used, pairs))
    measured = _points_written(out / "points.parquet", map(lines.line, pruned.paths))
    segments: Columns = {
        "segment": np.arange(len(pairs)),
        "node_a": numbers[:, 0],
        "node_b": numbers[:, 1],
        "component": pruned.component,
        **measured,
    }
    degree = np.bincount(numbers[numbers != RING], minlength=len(used))
    component = np.zeros(len(used), np.int64)
    component[numbers[numbers[:, 0] != RING].reshape(-1)] = np.repeat(
        pruned.component[numbers[:, 0] != RING], 2
    )
    place = network.nodes.place[used] * lines.spacing_um
    nodes: Columns = {
        "node": np.arange(len(used)),
        "kind": np.where(degree == 1, "end", "branch"),
        "degree": degree,
        "z_um": place[:, 0],
        "y_um": place[:, 1],
        "x_um": place[:, 2],
        "radius_um": network.nodes.radius_um[used],
        "component": component,
        "at_face": at_face[used],
    }
    write_parquet(out / "segments.parquet", segments)
    write_parquet(out / "nodes.parquet", nodes)
    return segments, nodes


def write_parquet(path: FilePath, columns: Columns) -> None:
    """Writes a table that appears once it is whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with draft_of(path) as draft:
        pq.write_table(pa.table(dict(columns)), draft)


def write_csv(path: FilePath, columns: Columns) -> None:
    """Writes a table as text that appears once it is whole; cells without a number are empty."""
    with draft_of(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in zip(*(column.tolist() for column in columns.values()), strict=True):
            writer.writerow(["" if value != value else value for value in row])


def read_parquet(path: FilePath) -> Columns:
    """Reads a table's columns."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    return {name: table[name].to_numpy() for name in table.column_names}


def batches(path: FilePath) -> Iterator[Columns]:
    """Reads the points of a graph, whole segments together.

    Yields:
        Columns of some segments each.
    """
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        table = file.read_row_group(group)
        yield {name: table[name].to_numpy() for name in table.column_names}


def _points_written(path: FilePath, lines: Iterable[Line]) -> Columns:
    """Writes all points and measures segments on the way."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [("segment", pa.int64()), *((f"{a}_um", pa.float32()) for a in "zyx")]
        + [("radius_um", pa.float32())]
    )
    rows: list[tuple[float, ...]] = []
    with draft_of(path) as draft, pq.ParquetWriter(draft, schema) as writer:

        def write(some: list[Line], first: int) -> None:
            table = _points(some, first, schema)
            # A group is a million rows by default, and its end would cut a segment in two.
            writer.write_table(table, row_group_size=max(1, table.num_rows))

        some: list[Line] = []
        first = 0
        for line in lines:
            rows.append(_measures(line))
            some.append(line)
            if len(some) == TOGETHER:
                write(some, first)
                first, some = first + len(some), []
        if some:
            write(some, first)
    columns = np.array(rows, np.float64).reshape(-1, len(_SEGMENT)).T
    return {n: c.astype(t) for (n, t), c in zip(_SEGMENT.items(), columns, strict=True)}


def _measures(line: Line) -> tuple[float, ...]:
    """Measures a segment, in the order of its columns."""
    length = line.length_um
    chord = (
        float("nan") if line.closed else float(np.linalg.norm(line.points[-1] - line.points[0]))
    )
    tortuosity = length / chord if chord > 0 else float("nan")
    own = line.radius_um[line.chain] if line.chain.any() else line.radius_um
    extremes = (float(own.min()), float(own.max()))
    middle = line.points[len(line.points) // 2]
    return (
        len(line.points),
        *(length, chord, tortuosity, line.mean_radius_um, *extremes),
        *(float(m) for m in middle),
    )


def _points(lines: list[Line], first: int, schema: pa.Schema) -> pa.Table:
    """Tables the points of some lines; a closed one ends with its first point again."""
    import pyarrow as pa

    closed = [
        np.r_[np.arange(len(line.points)), np.zeros(int(line.closed), int)] for line in lines
    ]
    points = np.concatenate([line.points[at] for line, at in zip(lines, closed, strict=True)])
    radius = np.concatenate([line.radius_um[at] for line, at in zip(lines, closed, strict=True)])
    number = np.repeat(first + np.arange(len(lines)), [len(at) for at in closed])
    place = points.astype(np.float32).T
    return pa.table([number, *place, radius], schema=schema)
