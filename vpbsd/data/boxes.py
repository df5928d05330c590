"""Boxes of voxels: a volume cut in blocks, and one box seen from another."""

from __future__ import annotations

from itertools import product

from vpbsd.data.volumes import Shape, Slices


def blocks(shape: Shape, side: int) -> list[Slices]:
    """Cuts a volume in blocks of at most `side` voxels per axis, in order.

    >>> [x for z, y, x in blocks((4, 4, 6), 4)]
    [slice(0, 4, None), slice(4, 6, None)]
    """
    firsts = [range(0, n, side) for n in shape]
    return [
        (
            slice(z, min(z + side, shape[0])),
            slice(y, min(y + side, shape[1])),
            slice(x, min(x + side, shape[2])),
        )
        for z, y, x in product(*firsts)
    ]


def inside(box: Slices, frame: Slices) -> Slices:
    """Gives a box in the coordinates of a frame around it."""
    z, y, x = (slice(b.start - f.start, b.stop - f.start) for b, f in zip(box, frame, strict=True))
    return z, y, x
