"""Says on stderr how far a segmentation is."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from math import prod

from vpbsd.inference.whole import Piece, Round

COST: dict[Round, float] = {"context": 0.3, "deep": 0.2, "answer": 1.0}
"""Of a voxel of a piece, about, against one of an answer."""


class Progress:
    """Counts answered blocks, and reckons the time that is left from all that was done.

    Args:
        rounds: All that is to be done.
    """

    def __init__(self, rounds: Sequence[Sequence[Piece]]) -> None:
        self._left = sum(_cost(piece) for pieces in rounds for piece in pieces)
        self._done, self._blocks, self._count = 0.0, 0, len(rounds[-1])
        self._began = time.monotonic()

    def tell(self, piece: Piece) -> None:
        """Counts a piece that is done, and says so."""
        self._left -= _cost(piece)
        self._done += _cost(piece)
        self._blocks += piece.round == "answer"
        rest = (time.monotonic() - self._began) / self._done * self._left
        doing = "" if piece.round == "answer" else " (looking around)"
        print(
            f"block {self._blocks}/{self._count}{doing}, about {rest:.0f} s left", file=sys.stderr
        )


def _cost(piece: Piece) -> float:
    voxels: int = prod(side.stop - side.start for side in piece.box)
    return COST[piece.round] * voxels
