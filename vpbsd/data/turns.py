"""Flips and quarter turns as data; `augment` applies them."""

from __future__ import annotations

from typing import NamedTuple


class Turn(NamedTuple):
    """One member of the group: which of (z, y, x) are mirrored, then quarter turns in y-x."""

    flips: tuple[int, ...]
    quarters: int

    @property
    def canonical(self) -> Turn:
        """The same movement without a mirrored x: that is a mirrored y and half a turn.

        >>> Turn((0, 2), 3).canonical
        Turn(flips=(0, 1), quarters=1)
        """
        if 2 not in self.flips:
            return self
        flips = tuple(sorted({1} ^ set(self.flips) - {2}))
        return Turn(flips, (self.quarters + 2) % 4)


STILL = Turn((), 0)
FLIPS = [Turn(flips, quarters) for quarters in (0, 2) for flips in ((), (0,), (1,), (0, 1))]
"""The eight turns that keep the shape of every patch; the first one moves nothing."""
TURNS = [Turn(flips, quarters) for quarters in range(4) for flips in ((), (0,), (1,), (0, 1))]
"""All sixteen, canonical: those of patches as high as wide."""


def turns_of(patch: tuple[int, int, int]) -> list[Turn]:
    """Lists the canonical turns that keep the shape of a patch (z, y, x); the still one first."""
    return TURNS if patch[1] == patch[2] else FLIPS
