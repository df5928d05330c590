"""Flips and quarter turns as data; `augment` applies them."""

from __future__ import annotations

from typing import NamedTuple


class Turn(NamedTuple):
    """One member of the group: which of (z, y, x) are mirrored, then quarter turns in y-x."""

    flips: tuple[int, ...]
    quarters: int


STILL = Turn((), 0)
FLIPS = [Turn(flips, quarters) for quarters in (0, 2) for flips in ((), (0,), (1,), (0, 1))]
"""The eight turns that keep the shape of every patch; the first one moves nothing."""
