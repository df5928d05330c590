"""Joins the pieces of all blocks to one network: nodes, and segments between them.

Whatever the blocks were, nodes and segments come out the same, in the same order and direction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from vpbsd.graphs.joints import Run, followed, is_ring
from vpbsd.graphs.pieces import Ids, Pieces

RING = -1
"""The node of a segment that has none: it is closed in itself."""


@dataclass(frozen=True)
class Nodes:
    """Ends and branch points.

    Attributes:
        voxel: (m,), ascending: the first voxel of each node.
        place: (m, 3) float64, the mean of its voxels, (z, y, x) in voxels.
        radius_um: (m,), of its widest voxel.
    """

    voxel: Ids
    place: NDArray[np.float64]
    radius_um: NDArray[np.float32]


@dataclass(frozen=True)
class Network:
    """Nodes, and segments as runs of chain voxels from one to another.

    Attributes:
        nodes: All of them.
        ends: (s, 2), nodes that segments lead from and to, the lower one first; `RING` twice in
            closed rings.
        start: (s + 1,), where a segment's voxels begin in `chain`.
        chain: (n,), voxels of all segments, without those of nodes.
        radius_um: (n,) float32.
    """

    nodes: Nodes
    ends: Ids
    start: Ids
    chain: Ids
    radius_um: NDArray[np.float32]


def joined(blocks: Iterable[Pieces]) -> Pieces:
    """Puts the pieces of several blocks behind each other."""
    parts = list(blocks)
    offset, starts = 0, [np.zeros(1, np.int64)]
    for part in parts:
        starts.append(part.start[1:] + offset)
        offset += len(part.chain)
    lists = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(Pieces)
        if field.name != "start"
    }
    return Pieces(start=np.concatenate(starts), **lists)


def assemble(pieces: Pieces, shape: tuple[int, int, int]) -> Network:
    """Builds the network of all pieces.

    Args:
        pieces: Of all blocks.
        shape: Of the volume.
    """
    runs, cut = followed(pieces)
    voxel, where = np.unique(np.concatenate([pieces.node, cut]), return_index=True)
    radius = np.concatenate([pieces.node_radius, np.zeros(len(cut), np.float32)])[where]
    degree = np.concatenate([pieces.node_degree, np.ones(len(cut), np.int8)])[where]
    contact = _rows(voxel, pieces.contact)
    contact = contact[(contact >= 0).all(1)]
    inner = (degree[contact] > 2).all(1)
    nodes, node_of = _nodes(voxel, radius, contact[inner], shape)
    segments = [_segment(pieces, run, voxel, node_of) for run in runs]
    direct = np.sort(node_of[contact[~inner]], axis=1)
    segments += [((a, b), np.zeros(0, np.int64)) for a, b in direct.tolist()]
    segments.sort(key=lambda s: (s[0], int(pieces.chain[s[1][0]]) if len(s[1]) else -1))
    rows = np.concatenate([s[1] for s in segments] or [np.zeros(0, np.int64)])
    counts = [len(s[1]) for s in segments]
    return Network(
        nodes=nodes,
        ends=np.array([s[0] for s in segments], np.int64).reshape(-1, 2),
        start=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        chain=pieces.chain[rows],
        radius_um=pieces.chain_radius[rows],
    )


def _segment(pieces: Pieces, run: Run, voxel: Ids, node_of: Ids) -> tuple[tuple[int, int], Ids]:
    """Lists the nodes of a run and its rows in `chain`, in the direction that does not depend."""
    parts = []
    for piece, backwards in run:
        rows = np.arange(pieces.start[piece], pieces.start[piece + 1])
        parts.append(rows[::-1] if backwards else rows)
    rows = np.concatenate(parts)
    if is_ring(pieces, run):
        rows = np.roll(rows, -int(pieces.chain[rows].argmin()))
        if pieces.chain[rows[1]] > pieces.chain[rows[-1]]:
            rows = np.roll(rows[::-1], 1)
        return (RING, RING), rows
    (first, turned), (last, turned_last) = run[0], run[-1]
    begin = pieces.after[first] if turned else pieces.before[first]
    end = pieces.before[last] if turned_last else pieces.after[last]
    a, b = node_of[_rows(voxel, np.array([begin, end]))].tolist()
    if (a, pieces.chain[rows[0]]) > (b, pieces.chain[rows[-1]]):
        a, b, rows = b, a, rows[::-1]
    return (a, b), rows


def _rows(voxels: Ids, wanted: Ids) -> Ids:
    """Finds voxels in an ascending list; -1 where they are not."""
    if len(voxels) == 0:
        return np.full(wanted.shape, -1)
    row = np.minimum(np.searchsorted(voxels, wanted), len(voxels) - 1)
    return np.where(voxels[row] == wanted, row, -1)


def _nodes(
    voxel: Ids, radius: NDArray[np.float32], inner: Ids, shape: tuple[int, int, int]
) -> tuple[Nodes, Ids]:
    """Makes one node of branch voxels that touch; returns which node each voxel is of, too."""
    n = len(voxel)
    ones = np.ones(len(inner), np.int8)
    graph = coo_array((ones, (inner[:, 0], inner[:, 1])), shape=(n, n))
    count, label = connected_components(graph, directed=False)
    first = np.full(count, n)
    np.minimum.at(first, label, np.arange(n))
    rank = np.empty(count, np.int64)
    rank[np.argsort(first)] = np.arange(count)
    node_of = rank[label].astype(np.int64)
    members = np.bincount(node_of, minlength=count)
    places = np.stack(np.unravel_index(voxel, shape)) if n else np.zeros((3, 0), np.int64)
    summed = np.stack([np.bincount(node_of, p, count) for p in places], axis=1)
    widest = np.zeros(count, np.float32)
    np.maximum.at(widest, node_of, radius)
    place = summed / members[:, None]
    return Nodes(voxel[np.sort(first)] if n else voxel, place, widest), node_of
