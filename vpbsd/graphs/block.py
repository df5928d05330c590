"""The centre lines within a block of a mask, verified to be those of the whole mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from vpbsd.data.boxes import inside
from vpbsd.data.volumes import Shape, Slices, Spacing, triple
from vpbsd.graphs.neighbours import CENTRE, OFFSETS
from vpbsd.graphs.thinning import OPEN, PRESENT, Cut, Levels, Thinning

HALO = 32
"""Voxels that are read around a block; vessels of some 20 voxels in radius need no more."""
WIDEST = 128
"""Voxels around a block at most; what even these leave open is left out, and counted."""
HOLE = 16
"""Voxels along each axis of the largest hole that is filled."""
_FAR = 32000  # levels fit int16, and distances where there is no background at all stay finite

Read = Callable[[Slices], NDArray[np.bool_]]


@dataclass(frozen=True)
class Skeleton:
    """The voxels of the centre lines in a block.

    Attributes:
        index: int64 (n,), ascending, of each voxel in the flattened volume.
        code: int32 (n,), which of its 26 neighbours are of a centre line, too; see `neighbours`.
        radius_um: float32 (n,), distance to the nearest background voxel, to the nanometre.
        vessel: Vessel voxels in the block, holes included.
        left_out: Vessel voxels of which even `WIDEST` did not tell whether they stay.
        in_doubt: Voxels of centre lines of which it did not tell the neighbours or the radius.
    """

    index: NDArray[np.int64]
    code: NDArray[np.int32]
    radius_um: NDArray[np.float32]
    vessel: int
    left_out: int
    in_doubt: int


def skeletonise(
    read: Read, shape: Shape, spacing_um: Spacing, core: Slices, halo: int = HALO
) -> Skeleton:
    """Finds the centre lines in a block.

    The answer is that of the whole volume: where something is open (see `thinning`), the block is
    halved along each axis, and twice as much is read around, until `WIDEST` is reached.

    Args:
        read: Reads a box of the mask.
        shape: Of the volume, (z, y, x).
        spacing_um: Voxel size along z, y, x.
        core: The block, its sides longer than `HOLE` unless it ends with the volume.
        halo: Voxels that are read around it.
    """
    if not read(core).any():  # it is larger than a hole, or at the volume's end
        nothing = np.zeros(0, np.float32)
        return Skeleton(nothing.astype(np.int64), nothing.astype(np.int32), nothing, 0, 0, 0)
    found = _with_halo(read, shape, spacing_um, core, halo)
    if found.left_out == found.in_doubt == 0 or halo >= WIDEST:
        return found
    parts = [skeletonise(read, shape, spacing_um, part, 2 * halo) for part in _halves(core)]
    index = np.concatenate([part.index for part in parts])
    order = np.argsort(index)
    return Skeleton(
        index[order],
        np.concatenate([part.code for part in parts])[order],
        np.concatenate([part.radius_um for part in parts])[order],
        sum(part.vessel for part in parts),
        sum(part.left_out for part in parts),
        sum(part.in_doubt for part in parts),
    )


def fill_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fills background that vessel encloses and that is up to `HOLE` voxels wide on each axis.

    What touches the faces of the box is not enclosed.
    """
    import cc3d

    labels, count = cc3d.connected_components(~mask, connectivity=6, return_N=True)
    boxes = cc3d.statistics(labels)["bounding_boxes"]
    small = np.zeros(count + 1, bool)
    for label in range(1, count + 1):
        inside = all(
            b.start > 0 and b.stop < n for b, n in zip(boxes[label], mask.shape, strict=True)
        )
        small[label] = inside and all(b.stop - b.start <= HOLE for b in boxes[label])
    return mask | small[labels] if small.any() else mask


def levels(
    mask: NDArray[np.bool_], spacing_um: Spacing, cut: Cut
) -> tuple[NDArray[np.float32], Levels]:
    """Computes distances (um) to the nearest background voxel, and in which level a voxel may go.

    A level is as wide as the finest side of a voxel. Beyond a face that is cut there may be
    background at once, which gives the earliest level.
    """
    import edt

    step = min(spacing_um)
    distance = edt.edt(mask, anisotropy=spacing_um, black_border=False)
    np.minimum(distance, _FAR * step, out=distance)
    late = (distance / step + 1e-3).astype(np.int16)
    early = late.copy()
    for axis, sides in enumerate(cut):
        steps = np.arange(1, mask.shape[axis] + 1) * (spacing_um[axis] / step) + 1e-3
        steps = np.minimum(steps, _FAR).astype(np.int16)
        for far, is_cut in enumerate(sides):
            if is_cut:
                one = steps[::-1] if far else steps
                one = one.reshape([-1 if a == axis else 1 for a in range(3)])
                np.minimum(early, one, out=early)
    return distance, Levels(early, late)


def _with_halo(read: Read, shape: Shape, spacing_um: Spacing, core: Slices, halo: int) -> Skeleton:
    frame = _around(core, halo, shape)
    wider = _around(frame, HOLE, shape)  # so that a hole that reaches the frame is seen whole
    mask = fill_holes(read(wider))[inside(frame, wider)]
    cut = tuple((f.start > 0, f.stop < n) for f, n in zip(frame, shape, strict=True))
    distance, times = levels(np.ascontiguousarray(mask), spacing_um, cut)
    inner = inside(core, frame)
    vessel = int(np.count_nonzero(mask[inner]))
    thinning = Thinning(times, triple(f.start for f in frame), cut)
    thinning.run()
    # With its neighbours: one voxel more on all sides, which `state` has beyond the frame, too.
    around: Slices = triple(slice(b.start, b.stop + 2) for b in inner)
    state = thinning.state[around]
    lines, unknown = state == PRESENT, state == OPEN
    places = np.argwhere(lines[1:-1, 1:-1, 1:-1])
    code = np.zeros(len(places), np.int32)
    doubtful = np.zeros(len(places), bool)  # of a neighbour, or of background beyond the frame
    for bit, step in enumerate(OFFSETS):
        if bit != CENTRE:
            z, y, x = (places + 1 + step).T
            code |= lines[z, y, x].astype(np.int32) << bit
            doubtful |= unknown[z, y, x]
    z, y, x = (places + [b.start for b in core]).T
    index = (z * shape[1] + y) * shape[2] + x
    z, y, x = (places + [b.start for b in inner]).T
    radius = distance[z, y, x]
    for at, side, sides, n in zip((z, y, x), spacing_um, cut, distance.shape, strict=True):
        doubtful |= sides[0] & (radius > (at + 1) * side)
        doubtful |= sides[1] & (radius > (n - at) * side)
    left_out = int(np.count_nonzero(unknown[1:-1, 1:-1, 1:-1]))
    in_doubt = int(np.count_nonzero(doubtful))
    return Skeleton(index, code, np.round(radius, 3), vessel, left_out, in_doubt)


def _halves(core: Slices) -> list[Slices]:
    """Cuts a block in the middle of all axes that are long enough."""
    cuts = [
        [b.start, b.start + (b.stop - b.start) // 2, b.stop]
        if b.stop - b.start >= 4 * HOLE
        else [b.start, b.stop]
        for b in core
    ]
    sides = ([slice(a, b) for a, b in pairwise(cut)] for cut in cuts)
    return [triple(part) for part in product(*sides)]


def _around(box: Slices, margin: int, shape: Shape) -> Slices:
    return triple(
        slice(max(b.start - margin, 0), min(b.stop + margin, n))
        for b, n in zip(box, shape, strict=True)
    )
