"""The 26 neighbours of a voxel as bits of a number, and what can be told from them.

Bit 9 (dz + 1) + 3 (dy + 1) + dx + 1 stands for the neighbour at (dz, dy, dx); bit 13, the voxel
itself, is never set.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int32]
Steps = tuple[tuple[int, int, int], ...]

OFFSETS: Steps = tuple((z, y, x) for z, y, x in product((-1, 0, 1), repeat=3))
"""(dz, dy, dx) of each bit."""
CENTRE = 13


def _bits(*places: int) -> np.int32:
    return np.int32(sum(1 << place for place in places))


_ALL = _bits(*range(27))
_FACES = _bits(*(k for k, o in enumerate(OFFSETS) if sum(map(abs, o)) == 1))
_CLOSE = _bits(*(k for k, o in enumerate(OFFSETS) if 1 <= sum(map(abs, o)) <= 2))
_SHIFTS = tuple(
    (
        np.int32(3 ** (2 - axis)),
        _bits(*(k for k, o in enumerate(OFFSETS) if o[axis] > -1)),
        _bits(*(k for k, o in enumerate(OFFSETS) if o[axis] < 1)),
    )
    for axis in range(3)
)
_known = np.zeros(1 << 27, np.uint8)  # pages that are never asked for take no memory
"""Whether a voxel of these neighbours is simple: 0 not asked yet, 1 no, 2 yes."""


def simple(codes: Codes) -> NDArray[np.bool_]:
    """Tells which voxels can go without a change of topology.

    A voxel is simple if its 26 neighbours that are vessel hang together (26-connected), and so do
    those that are background, along faces, among its 18 nearest (Bertrand and Malandain 1994).

    Args:
        codes: (n,), which neighbours are vessel.

    >>> simple(np.array([0, 1 << 4, 1 << 4 | 1 << 22], np.int32)).tolist()
    [False, True, False]
    """
    answers = _known[codes]
    if not answers.all():
        new = np.unique(codes[answers == 0])
        _known[new] = 1 + _simple(new)
        answers = _known[codes]
    held: NDArray[np.bool_] = answers == 2
    return held


def is_end(codes: Codes) -> NDArray[np.bool_]:
    """Tells which voxels have one neighbour."""
    held: NDArray[np.bool_] = (codes != 0) & (codes & (codes - 1) == 0)
    return held


def subsets(codes: Codes) -> NDArray[np.int32]:
    """Lists all subsets of the bits of codes that have equally many set: (n,) -> (n, 2^bits)."""
    found = np.zeros((len(codes), 1), np.int32)
    left = codes.copy()
    while left.any():
        lowest = left & -left
        found = np.concatenate([found, found | lowest[:, None]], axis=1)
        left ^= lowest
    return found


def _simple(codes: Codes) -> NDArray[np.bool_]:
    together = _flooded(codes & -codes, codes, diagonal=True) == codes
    background = ~codes & _CLOSE
    faces = background & _FACES
    reached = _flooded(faces & -faces, background, diagonal=False)
    held: NDArray[np.bool_] = (codes != 0) & together & (faces != 0) & (faces & ~reached == 0)
    return held


def _flooded(seeds: Codes, within: Codes, *, diagonal: bool) -> Codes:
    """Grows bits over their neighbours: all 26, or those that share a face."""
    while True:
        wide = grown = seeds
        for shift, after, before in _SHIFTS:
            start = wide if diagonal else seeds
            grown = grown | wide | (start << shift & after) | (start >> shift & before)
            wide = grown if diagonal else seeds
        grown &= within
        if np.array_equal(grown, seeds):
            return grown
        seeds = grown
