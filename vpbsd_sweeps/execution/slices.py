"""Slices: what of the cluster a stage of each family gets."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Slice:
    """The share of a cluster that a stage of one family gets.

    Attributes:
        cpus: Whole cores, and threads, of each process.
        gpus: Share of one GPU, or 0; memory is capped to it.
        lane: Stages that share a lane run one after the other; None: as many as fit.
        ranks: Processes that train one stage together, each with such a slice.
    """

    cpus: int = 1
    gpus: float = 0.0
    lane: str | None = None
    ranks: int = 1

    def larger(self) -> Slice | None:
        """Doubles the share of a GPU; None where there is no more to be had.

        >>> Slice(1, 0.25).larger()
        Slice(cpus=1, gpus=0.5, lane=None, ranks=1)
        """
        return replace(self, gpus=min(1.0, 2 * self.gpus)) if 0 < self.gpus < 1 else None

    def over(self, gpus: int, batch: int) -> Slice:
        """Spreads the slice over several GPUs: as many as a batch can be dealt out to evenly.

        >>> Slice(2, 1.0).over(gpus=4, batch=6).ranks
        3
        """
        return replace(self, ranks=max(n for n in range(1, gpus + 1) if batch % n == 0))


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

_TEACHER = Slice(1, 0.0, lane="teacher")
ON_CORES = {
    "pre-training": _TEACHER,
    "fine-tuning": _TEACHER,
    "targets": Slice(),
    "student": Slice(),
    "evaluation": Slice(),
    "timing": Slice(),
    "examination": Slice(),
}
"""One core each, and one teacher at a time: it alone takes a gigabyte or two."""
