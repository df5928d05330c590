"""A segmentation as work that others may do: pieces in, checksums out, voxels go to disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from vpbsd.inference.mask import MaskFile
from vpbsd.inference.whole import Piece, WholeVolume

Run = Callable[[Sequence[Piece]], Iterator[tuple[Piece, int]]]
"""Does pieces in any order and yields each once it is on disk, with what `Work` made of it."""
Spread = Callable[["Work"], AbstractContextManager[Run]]
"""Prepares who does the work, such as processes, which end with the context."""


@dataclass(frozen=True)
class Work:
    """All that anybody needs who is to compute pieces; it travels to other processes.

    Attributes:
        volume: The volume and its student; its features lie on disk.
        file: The mask.
    """

    volume: WholeVolume
    file: MaskFile

    def __call__(self, piece: Piece) -> int:
        """Computes a piece and stores it.

        Returns:
            The checksum of an answer's mask; 0 of what is no answer.
        """
        probability = self.volume.compute(piece)
        return 0 if probability is None else self.file.write(piece.box, probability)


@contextmanager
def here(work: Work) -> Iterator[Run]:
    """Does all work in this process, one piece after the other."""

    def run(pieces: Sequence[Piece]) -> Iterator[tuple[Piece, int]]:
        for piece in pieces:
            yield piece, work(piece)

    yield run
