"""Segments as lines in micrometres: those of a network, and those joined where a spur is gone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpbsd.data.volumes import Shape, Spacing
from vpbsd.graphs.geometry import Points, length, smoothed
from vpbsd.graphs.network import RING, Network


@dataclass(frozen=True)
class Path:
    """Segments of a network, one after the other, from a node to a node.

    Attributes:
        ends: The two nodes, or `RING` twice.
        parts: Segments; ~s stands for s walked backwards.
        between: The nodes between them, one fewer.
    """

    ends: tuple[int, int]
    parts: tuple[int, ...]
    between: tuple[int, ...] = ()

    def turned(self) -> Path:
        """Returns the same path walked backwards."""
        parts = tuple(~part for part in self.parts[::-1])
        return Path(self.ends[::-1], parts, self.between[::-1])


@dataclass(frozen=True)
class Line:
    """A path in space.

    Attributes:
        points: (n, 3) um, (z, y, x), smoothed; with its nodes, if it has any.
        radius_um: (n,); at a node, its own.
        chain: (n,), whether a point is of the segment itself, and of no node.
        closed: Whether the last point is followed by the first.
    """

    points: Points
    radius_um: NDArray[np.float32]
    chain: NDArray[np.bool_]
    closed: bool

    @property
    def length_um(self) -> float:
        """Its length."""
        return length(self.points, closed=self.closed)

    @property
    def mean_radius_um(self) -> float:
        """The mean over its own points, or over its nodes' if it has none."""
        own = self.radius_um[self.chain] if self.chain.any() else self.radius_um
        return float(own.mean(dtype=np.float64))


class Lines:
    """Draws paths of a network.

    Args:
        network: Their segments.
        shape: Of the volume.
        spacing_um: Voxel size along z, y, x; places are those of voxels' centres, the first at 0.

    Attributes:
        spacing_um: As an array (3,).
    """

    def __init__(self, network: Network, shape: Shape, spacing_um: Spacing) -> None:
        self._network, self._shape = network, shape
        self.spacing_um = np.array(spacing_um)

    def line(self, path: Path) -> Line:
        """Draws a path."""
        nodes = self._network.nodes
        ring = path.ends[0] == RING
        pieces: list[tuple[Points, NDArray[np.float32], bool]] = []

        def add_node(node: int) -> None:
            pieces.append((nodes.place[node : node + 1], nodes.radius_um[node : node + 1], False))

        if not ring:
            add_node(path.ends[0])
        for i, part in enumerate(path.parts):
            if i:
                add_node(path.between[i - 1])
            pieces.append((*self._own(part), True))
        if len(path.between) == len(path.parts):  # the node of a ring that was a loop at it
            add_node(path.between[-1])
        if not ring:
            add_node(path.ends[1])
        points = np.concatenate([p for p, _, _ in pieces]) * self.spacing_um
        radius = np.concatenate([r for _, r, _ in pieces])
        own = np.concatenate([np.full(len(p), mine) for p, _, mine in pieces])
        return Line(smoothed(points, closed=ring), radius, own, ring)

    def _own(self, part: int) -> tuple[Points, NDArray[np.float32]]:
        segment = part if part >= 0 else ~part
        rows = slice(self._network.start[segment], self._network.start[segment + 1])
        voxels = np.stack(np.unravel_index(self._network.chain[rows], self._shape), axis=1)
        radius = self._network.radius_um[rows]
        turn = slice(None, None, 1 if part >= 0 else -1)
        return voxels[turn].astype(np.float64), radius[turn]
