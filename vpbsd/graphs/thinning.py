"""Thins a block of a mask to centre lines, and knows which of its voxels the rest could change.

Voxels go in the order of their distance to the background, level by level. A level is swept until
nothing changes; a sweep takes the eight classes of voxels of equal parity (z, y, x) in turn. No
two voxels of a class touch, so all that are simple and not the end of a line go at once, whatever
the order. Thus a voxel's fate follows from its surroundings alone, not from how a volume is cut.

How far the surroundings reach is not known beforehand. So what lies beyond a block is neither
vessel nor background but open, and whatever would turn out otherwise with the one than with the
other becomes open itself. What is not open in the end is what thinning the whole volume gives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpbsd.graphs.neighbours import CENTRE, OFFSETS, Codes, is_end, simple, subsets

Cut = tuple[tuple[bool, bool], ...]
Places = NDArray[np.int64]
ABSENT, PRESENT, OPEN = 0, 1, 2
MOST_OPEN = 8
"""Open neighbours of a voxel up to which all cases are tried."""


@dataclass(frozen=True)
class Levels:
    """When each voxel (z, y, x) of a block may go at the earliest and at the latest.

    Attributes:
        early: int16; 0 in the background.
        late: int16; higher than `early` where what is beyond the block may be nearer.
    """

    early: NDArray[np.int16]
    late: NDArray[np.int16]


class Thinning:
    """A block while it is thinned.

    Args:
        levels: Of its voxels.
        origin: Of the block in the volume, (z, y, x); parities are the volume's.
        cut: For each axis, whether the volume goes on before the block, and after it.

    Attributes:
        state: uint8 (z, y, x) of the block with one voxel more on all sides.
    """

    def __init__(self, levels: Levels, origin: tuple[int, int, int], cut: Cut) -> None:
        beyond = tuple(tuple(OPEN if side else ABSENT for side in sides) for sides in cut)
        self.state = np.pad((levels.late > 0).astype(np.uint8), 1, constant_values=beyond)
        shape = self.state.shape
        self._flat = self.state.reshape(-1)
        self._changed = np.zeros(self._flat.size, np.bool_)
        strides = np.array([shape[1] * shape[2], shape[2], 1])
        self._steps = [int(np.dot(step, strides)) for step in OFFSETS]
        self._shape = shape
        self._origin = origin
        sure = levels.early == levels.late
        self._sure = _by_level(np.where(sure, levels.late, 0))
        self._unsure = _by_level(np.where(sure, 0, levels.early))

    def run(self) -> None:
        """Thins the block; `state` then holds what is left, and what is open."""
        held = np.zeros(0, np.int64)
        for level in sorted({*self._sure, *self._unsure}):
            opened = self._padded(self._unsure.get(level))
            self._flat[opened] = OPEN
            new = self._padded(self._sure.get(level))
            self._tell(opened)
            todo = np.concatenate([new, held[self._changed[held]]])
            held = np.concatenate([held, new])
            first = True
            while len(todo):
                self._changed[todo] = False
                self._sweep(todo, first)
                first = False
                held = held[self._flat[held] != ABSENT]
                todo = held[self._changed[held]]

    def _sweep(self, todo: Places, first: bool) -> None:
        """Takes what can go of some voxels, class by class."""
        if first:  # who loses its neighbours in the same sweep is no end of a line
            surely, perhaps = self._codes(todo)
            kept, doubtful = is_end(surely) & (perhaps == 0), _maybe_end(surely, perhaps)
            todo, doubtful = todo[~kept], doubtful[~kept]
        parity = self._parity(todo)
        for which in range(8):
            mine = parity == which
            places = todo[mine]
            if len(places) == 0:
                continue
            go, stay = _verdict(*self._codes(places), ends_go=first)
            if first:
                stay |= doubtful[mine]
            gone = places[go & ~stay]
            opened = places[go & stay & (self._flat[places] == PRESENT)]
            self._flat[gone] = ABSENT
            self._flat[opened] = OPEN
            self._tell(gone)
            self._tell(opened)

    def _codes(self, places: Places) -> tuple[Codes, Codes]:
        """Reads which neighbours are there, and which are open."""
        surely = np.zeros(len(places), np.int32)
        perhaps = np.zeros(len(places), np.int32)
        for bit, step in enumerate(self._steps):
            if bit != CENTRE:
                seen = self._flat[places + step].astype(np.int32)
                surely |= (seen & 1) << bit
                perhaps |= (seen >> 1) << bit
        return surely, perhaps

    def _tell(self, places: Places) -> None:
        """Notes that the neighbours of some voxels have to be looked at again."""
        for step in self._steps:
            self._changed[places + step] = True

    def _parity(self, places: Places) -> NDArray[np.int64]:
        _, height, width = self._shape
        z, rest = np.divmod(places, height * width)
        y, x = np.divmod(rest, width)
        oz, oy, ox = (o - 1 for o in self._origin)
        parity: NDArray[np.int64] = (z + oz) % 2 * 4 + (y + oy) % 2 * 2 + (x + ox) % 2
        return parity

    def _padded(self, places: Places | None) -> Places:
        """Turns places of the block into places of `state`."""
        if places is None:
            return np.zeros(0, np.int64)
        depth, height, width = (n - 2 for n in self._shape)
        z, y, x = np.unravel_index(places, (depth, height, width))
        padded: Places = np.ravel_multi_index((z + 1, y + 1, x + 1), self._shape)
        return padded


def _by_level(levels: NDArray[np.int16]) -> dict[int, Places]:
    """Sorts the places of all voxels above 0 by their level."""
    places = np.flatnonzero(levels)
    found = levels.reshape(-1)[places]
    order = np.argsort(found, kind="stable")
    firsts = np.flatnonzero(np.diff(found[order], prepend=0))
    parts = np.split(places[order], firsts)[1:]
    return {int(levels.reshape(-1)[part[0]]): part for part in parts}


def _maybe_end(surely: Codes, perhaps: Codes) -> NDArray[np.bool_]:
    """Tells where the number of neighbours can be one."""
    count = np.bitwise_count(surely)
    can: NDArray[np.bool_] = (perhaps != 0) & ((count == 1) | (count == 0))
    return can


def _verdict(
    surely: Codes, perhaps: Codes, *, ends_go: bool
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tells which voxels go in some case of their open neighbours, and which stay in some."""

    def goes(codes: Codes) -> NDArray[np.bool_]:
        return simple(codes) if ends_go else simple(codes) & ~is_end(codes)

    go = goes(surely)
    stay = ~go
    count = np.bitwise_count(perhaps)
    for number in np.unique(count[count > 0]):
        where = np.flatnonzero(count == number)
        if number > MOST_OPEN:
            go[where] = stay[where] = True
            continue
        cases = surely[where, None] | subsets(perhaps[where])
        answers = goes(cases.reshape(-1)).reshape(cases.shape)
        go[where], stay[where] = answers.any(1), ~answers.all(1)
    return go, stay
