"""The centre lines of one block as a list of pieces between nodes, and where they leave the block.

A voxel with two neighbours is a link of a chain; any other is of a node: an end (one neighbour), a
branch point (three or more) or alone (none). A piece is a run of chain voxels within a block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpbsd.data.volumes import Shape
from vpbsd.graphs.block import Skeleton
from vpbsd.graphs.neighbours import CENTRE, OFFSETS

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Pieces:
    """What of a network lies in one block, or in several; voxels are named by their place.

    Attributes:
        node: (m,), voxels of nodes.
        node_radius: (m,) um.
        node_degree: (m,), neighbours of each.
        contact: (k, 2), pairs of node voxels that touch; the first is the lower, and in the block.
        chain: (n,), voxels of pieces, one piece after the other.
        chain_radius: (n,) um.
        start: (p + 1,), where each piece begins in `chain`; the last is n.
        before, after: (p,), the voxel that a piece goes on from, and to; both -1 in closed rings.
    """

    node: Ids
    node_radius: NDArray[np.float32]
    node_degree: NDArray[np.int8]
    contact: Ids
    chain: Ids
    chain_radius: NDArray[np.float32]
    start: Ids
    before: Ids
    after: Ids


def trace(skeleton: Skeleton, shape: Shape) -> Pieces:
    """Cuts the centre lines of a block into pieces.

    Args:
        skeleton: Of the block.
        shape: Of the volume.
    """
    steps = [(z * shape[1] + y) * shape[2] + x for z, y, x in OFFSETS]
    degree = np.bitwise_count(skeleton.code).astype(np.int8)
    is_chain = degree == 2
    ids = skeleton.index[is_chain].tolist()
    links = _two(skeleton.code[is_chain], skeleton.index[is_chain], steps)
    sides = dict(zip(ids, links.tolist(), strict=True))
    runs = _runs(sides)
    chain = np.array([voxel for run, _, _ in runs for voxel in run], np.int64)
    counts = [len(run) for run, _, _ in runs]
    nodes = skeleton.index[~is_chain]
    return Pieces(
        node=nodes,
        node_radius=skeleton.radius_um[~is_chain],
        node_degree=degree[~is_chain],
        contact=_contacts(skeleton, is_chain, steps),
        chain=chain,
        chain_radius=skeleton.radius_um[np.searchsorted(skeleton.index, chain)],
        start=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        before=np.array([before for _, before, _ in runs], np.int64),
        after=np.array([after for _, _, after in runs], np.int64),
    )


def _two(codes: NDArray[np.int32], index: Ids, steps: list[int]) -> Ids:
    """Lists the two neighbours of each chain voxel, (n, 2), the lower one first."""
    lower = np.bitwise_count((codes & -codes) - 1)
    rest = codes & (codes - 1)
    upper = np.bitwise_count((rest & -rest) - 1)
    step = np.array(steps)
    return np.stack([index + step[lower], index + step[upper]], axis=1)


def _runs(sides: dict[int, list[int]]) -> list[tuple[list[int], int, int]]:
    """Walks along all chains: (voxels, the one before, the one after)."""
    seen: set[int] = set()
    found = []
    for begin, (one, other) in sides.items():
        if begin in seen or (one in sides and other in sides):
            continue
        before, here = (one, begin) if one not in sides else (other, begin)
        run, first = [], before
        while here in sides:
            run.append(here)
            low, high = sides[here]
            before, here = here, (high if low == before else low)
        seen.update(run)
        found.append((run, first, here))
    for begin, (one, _) in sides.items():  # the first that is left is the lowest of its ring
        if begin in seen:
            continue
        run, before, here = [], -1, begin
        while True:
            run.append(here)
            low, high = sides[here]
            following = one if before < 0 else (high if low == before else low)
            before, here = here, following
            if here == begin:
                break
        seen.update(run)
        found.append((run, -1, -1))
    return found


def _contacts(skeleton: Skeleton, is_chain: NDArray[np.bool_], steps: list[int]) -> Ids:
    """Lists pairs of node voxels that touch, from the lower one; some of them are in no block yet.

    A neighbour beyond the block may be of a chain; who joins the blocks finds out.
    """
    pairs = []
    nodes, codes = skeleton.index[~is_chain], skeleton.code[~is_chain]
    chains = skeleton.index[is_chain]
    for bit in range(CENTRE + 1, 27):
        low = nodes[codes >> bit & 1 == 1]
        high = low + steps[bit]
        pairs.append(np.stack([low, high], axis=1))
    found = np.concatenate(pairs)
    return found[~np.isin(found[:, 1], chains)]
