"""Tells masks from images by their values."""

from __future__ import annotations

from vpbsd.data.intake.stack import Stack, reading

FEW = 3
"""Values that a mask may hold (vessels of two sorts, and none); an image holds more."""


def few_values(stack: Stack) -> list[float]:
    """Lists the values of a volume that holds no more than `FEW`; nothing for an image.

    An image is known by its first plane; a mask is read whole.
    """
    seen: list[float] = []
    with reading(stack.path):
        for plane in stack.planes():
            rest = plane.ravel()
            for value in seen:
                rest = rest[rest != value]
            while rest.size:
                if len(seen) == FEW:
                    return []
                seen.append(rest[0].item())
                rest = rest[rest != rest[0]]
    return sorted(seen)
