"""Slices: what of the cluster a stage of each family gets."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Slice:
    """The share of a cluster that a stage of one family gets.

    Attributes:
        cpus: Whole cores, and threads, of each process.
        gpus: Share of one GPU, or 0; memory is capped to it.
        memory: Of the node, in GB (2^30 bytes), that each process has to itself; 0: not counted.
        ranks: Processes that train one stage together, each with such a slice.
    """

    cpus: int = 1
    gpus: float = 0.0
    memory: float = 0.0
    ranks: int = 1

    def larger(self, share: float = 0.0) -> Slice | None:
        """Doubles the share of a GPU, or more; None where there is no more to be had.

        Args:
            share: That would do, as far as is known.

        >>> Slice(1, 0.25).larger()
        Slice(cpus=1, gpus=0.5, memory=0.0, ranks=1)
        """
        gpus = min(1.0, max(2 * self.gpus, share))
        return replace(self, gpus=gpus) if 0 < self.gpus < 1 else None

    def over(self, gpus: int, batch: int) -> Slice:
        """Spreads the slice over several GPUs: as many as a batch can be dealt out to evenly.

        >>> Slice(2, 1.0).over(gpus=4, batch=6).ranks
        3
        """
        return replace(self, ranks=max(n for n in range(1, gpus + 1) if batch % n == 0))


class SliceTooSmall(RuntimeError):
    """A stage ran out of the GPU memory of its slice.

    Args:
        message: Names the slice and what would do.
        share: Of a GPU that would do; above 1 if none would.
    """

    def __init__(self, message: str, share: float) -> None:
        super().__init__(message)
        self.share = share

    def __reduce__(self) -> tuple[type[SliceTooSmall], tuple[str, float]]:
        """Travels between processes whole."""
        return type(self), (str(self), self.share)


def share_holding(needed: float, whole: float) -> float:
    """Finds the share of a GPU that holds some memory with a tenth to spare, in twentieths.

    Args:
        needed: Memory of a stage at its peak.
        whole: That of the GPU, in the same unit.

    >>> share_holding(1.2, 80), share_holding(30, 80), share_holding(76, 80)
    (0.05, 0.45, 1.05)
    """
    return math.ceil(round(20 * 1.1 * needed / whole, 6)) / 20


ON_GPUS = {
    "pre-training": Slice(2, 1.0),
    "fine-tuning": Slice(2, 1.0),
    "targets": Slice(1, 0.5),
    "student": Slice(1, 0.25),
    "evaluation": Slice(1, 0.25),
    "timing": Slice(2, 1.0),
    "examination": Slice(1, 0.5),
}
"""A teacher takes a whole GPU; four students share one."""

ON_CORES = dict.fromkeys(ON_GPUS, Slice())
"""One core each."""
