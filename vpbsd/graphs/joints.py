"""Follows pieces from block to block."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vpbsd.graphs.pieces import Ids, Pieces

Run = list[tuple[int, bool]]
"""Pieces in the order of a walk, and whether each is walked backwards."""
_Joints = dict[tuple[int, int], tuple[int, bool]]


def followed(pieces: Pieces) -> tuple[list[Run], Ids]:
    """Joins pieces that go on in another block.

    Returns:
        Runs from node to node, or closed; and the voxels beyond which a piece was to go on, but
        was left out there (see `Skeleton`): ends, too.
    """
    nodes = np.unique(pieces.node)
    joints: _Joints = {}
    for at_end, links in enumerate((pieces.before, pieces.after)):
        for piece in np.flatnonzero((links >= 0) & ~np.isin(links, nodes)).tolist():
            joints[_end(pieces, piece, bool(at_end))] = piece, bool(at_end)
    cut = sorted({link for own, link in joints if (link, own) not in joints})
    joints = {end: joint for end, joint in joints.items() if end[::-1] in joints}
    return list(_runs(pieces, joints)), np.array(cut, np.int64)


def is_ring(pieces: Pieces, run: Run) -> bool:
    """Tells whether a run is closed in itself."""
    (first, turned), (last, last_turned) = run[0], run[-1]
    if pieces.before[first] < 0:
        return True
    begin, end = _end(pieces, first, turned), _end(pieces, last, not last_turned)
    return len(run) > 1 and begin == end[::-1]


def _end(pieces: Pieces, piece: int, at_end: bool) -> tuple[int, int]:
    """Gives an outer voxel of a piece, and the voxel that it goes on to."""
    if at_end:
        return int(pieces.chain[pieces.start[piece + 1] - 1]), int(pieces.after[piece])
    return int(pieces.chain[pieces.start[piece]]), int(pieces.before[piece])


def _runs(pieces: Pieces, joints: _Joints) -> Iterator[Run]:
    count = len(pieces.start) - 1
    joined = np.zeros((count, 2), bool)
    for piece, at_end in joints.values():
        joined[piece, int(at_end)] = True
    seen = np.zeros(count, bool)
    for piece in range(count):  # those that begin at a node, at either side
        if not seen[piece] and not joined[piece].all():
            run = _walk(pieces, joints, piece, turned=bool(joined[piece, 0]))
            seen[[p for p, _ in run]] = True
            yield run
    for piece in range(count):  # rings over several blocks
        if not seen[piece]:
            run = _walk(pieces, joints, piece, turned=False)
            seen[[p for p, _ in run]] = True
            yield run


def _walk(pieces: Pieces, joints: _Joints, piece: int, *, turned: bool) -> Run:
    run = [(piece, turned)]
    while True:
        following = joints.get(_end(pieces, run[-1][0], not run[-1][1])[::-1])
        if following is None or following == (piece, turned):
            return run
        run.append(following)
