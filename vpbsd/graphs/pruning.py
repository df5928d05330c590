"""Removes what is no vessel from a network: spurs, specks, and nodes where only two meet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from vpbsd.graphs.lines import Lines, Path
from vpbsd.graphs.network import RING, Network


@dataclass(frozen=True)
class Pruned:
    """What is left.

    Attributes:
        paths: In the order of their nodes, the lower node first.
        component: (paths,), numbered from 0 in the order of paths.
        spurs, specks: How many were removed.
    """

    paths: list[Path]
    component: NDArray[np.int64]
    spurs: int
    specks: int


class Pruning:
    """A network while it is pruned.

    Args:
        network: As thinning left it.
        lines: Of it.
        min_length_um: Spurs and components shorter than this go.
    """

    def __init__(self, network: Network, lines: Lines, min_length_um: float) -> None:
        self._lines, self._least = lines, min_length_um
        self._radius = network.nodes.radius_um
        self._voxel = network.nodes.voxel
        ends = [(a, b) for a, b in network.ends.tolist()]
        self._paths: dict[int, Path] = {i: Path(e, (i,)) for i, e in enumerate(ends)}
        self._length = {i: lines.line(path).length_um for i, path in self._paths.items()}
        self._at: dict[int, list[int]] = {}
        for i, (a, b) in enumerate(ends):
            self._at.setdefault(a, []).append(i)
            self._at.setdefault(b, []).append(i)
        self._at.pop(RING, None)
        self._next = len(ends)
        self._alone = len(network.nodes.voxel) - len(self._at)  # no segment leads there

    def run(self) -> Pruned:
        """Prunes until nothing changes.

        A segment with a free end is a spur if it sticks out of the vessel that it leaves (its
        length, and the radius at its tip, less the radius at its branch point) by less than the
        minimum. Of several at a branch point the shortest goes first, and the rest may then be
        one vessel that ends there.
        """
        spurs = 0
        for node in list(self._at):
            self._join(node)
        touched = sorted(self._at)
        while touched:
            again: set[int] = set()
            for node in touched:
                spur = self._spur(node)
                if spur is not None:
                    again |= self._remove(spur)
                    spurs += 1
            for node in sorted(again):
                again |= self._join(node)
            touched = sorted(node for node in again if node in self._at)
        return self._result(spurs)

    def _spur(self, node: int) -> int | None:
        """Finds what sticks out least of a node, if it is a spur."""
        found = []
        for i in set(self._at.get(node, ())):
            a, b = self._paths[i].ends
            if a == b:
                out = self._length[i]  # a loop at the node
            else:
                tip = b if a == node else a
                if len(self._at[tip]) > 1 or len(self._at[node]) < 2:
                    continue
                out = self._length[i] + float(self._radius[tip]) - float(self._radius[node])
            found.append((out, i))
        least = min(found, default=None)
        return least[1] if least is not None and least[0] < self._least else None

    def _remove(self, i: int) -> set[int]:
        ends = self._paths.pop(i).ends
        for node in ends:
            self._at[node].remove(i)
            if not self._at[node]:
                del self._at[node]
        return set(ends)

    def _join(self, node: int) -> set[int]:
        """Makes one path of the two that meet at a node; returns where the longer one ends."""
        there = self._at.get(node, [])
        if len(there) != 2:
            return set()
        one, other = sorted(there)
        del self._at[node]
        first = self._paths.pop(one)
        if one == other:
            self._add(Path((RING, RING), first.parts, (*first.between, node)))
            return set()
        second = self._paths.pop(other)
        first = first if first.ends[1] == node else first.turned()
        second = second if second.ends[0] == node else second.turned()
        between = (*first.between, node, *second.between)
        ends = (first.ends[0], second.ends[1])
        for end, old in zip(ends, (one, other), strict=True):
            self._at[end].remove(old)
        path = Path(ends, first.parts + second.parts, between)
        self._add(path if ends[0] <= ends[1] else path.turned())
        return set(ends)

    def _add(self, path: Path) -> None:
        i, self._next = self._next, self._next + 1
        self._paths[i] = path
        self._length[i] = self._lines.line(path).length_um
        if path.ends[0] != RING:
            for end in path.ends:
                self._at[end].append(i)

    def _result(self, spurs: int) -> Pruned:
        order = sorted(self._paths, key=lambda i: (self._paths[i].ends, _first(self._paths[i])))
        paths = [self._paths[i] for i in order]
        label = _components([path.ends for path in paths], len(self._voxel))
        total = np.bincount(label, [self._length[i] for i in order])
        kept = total[label] >= self._least
        specks = self._alone + int(np.count_nonzero(total < self._least))
        _, component = np.unique(label[kept], return_inverse=True)
        chosen = [path for path, keep in zip(paths, kept, strict=True) if keep]
        return Pruned(chosen, component, spurs, specks)


def _first(path: Path) -> int:
    part = path.parts[0]
    return part if part >= 0 else ~part


def _components(ends: list[tuple[int, int]], nodes: int) -> NDArray[np.int64]:
    """Labels paths by what they hang together with, in the order of paths; rings stand alone."""
    if not ends:
        return np.zeros(0, np.int64)
    pairs = np.array(ends)
    own = nodes + np.arange(len(ends))
    pairs = np.where(pairs == RING, own[:, None], pairs)
    size = nodes + len(ends)
    graph = coo_array(
        (np.ones(len(ends), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(size, size)
    )
    label = connected_components(graph, directed=False)[1][pairs[:, 0]]
    _, first, component = np.unique(label, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    ranked: NDArray[np.int64] = rank[component]
    return ranked
