"""The fixed lattice of patches: where they start, how thin volumes are padded, what is valid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from vpbsd.config import Data, Grid, Sampling
from vpbsd.data.folds import Part
from vpbsd.data.volumes import open_volume
from vpbsd.errors import BadInput
from vpbsd.random_streams import permutation

V = TypeVar("V", bound=np.generic)


class Cell(NamedTuple):
    """One place of the lattice: a part (by its number) and the first voxel (z, y, x) in it."""

    part: int
    start: Grid


def starts(n: int, patch: int) -> list[int]:
    """Spreads ceil(n / patch) first voxels evenly along an axis; overlap instead of padding.

    >>> starts(500, 64)
    [0, 62, 125, 187, 249, 311, 374, 436]
    """
    count = -(-n // patch)
    if count <= 1:
        return [0]
    return [round(i * (n - patch) / (count - 1)) for i in range(count)]


def cells(parts: Sequence[Part], patch: Grid) -> list[Cell]:
    """Lists every lattice cell of the parts, in order."""
    return [Cell(i, start) for i, part in enumerate(parts) for start in _grid(part.shape, patch)]


def _grid(shape: Grid, patch: Grid) -> list[Grid]:
    along = [starts(n, p) for n, p in zip(shape, patch, strict=True)]
    return [(z, y, x) for z, y, x in product(*along)]


def cut(part: Part, start: Grid, patch: Grid) -> tuple[slice, slice, slice]:
    """Finds the voxels of a cell in its volume; they end at the part's border."""
    z, y, x = (
        slice(low + s, min(low + s + p, high))
        for (low, high), s, p in zip(part.box, start, patch, strict=True)
    )
    return z, y, x


def padded(block: NDArray[V], patch: Grid) -> NDArray[V]:
    """Mirrors a block (z, y, x) at its far ends, up to the size of the patch.

    >>> padded(np.array([[[1, 2, 3]]]), (1, 1, 5)).tolist()
    [[[1, 2, 3, 2, 1]]]
    """
    missing = [(0, p - n) for n, p in zip(block.shape, patch, strict=True)]
    return np.pad(block, missing, mode="reflect") if any(m for _, m in missing) else block


class PatchSet:
    """Patches of some parts, read once from disk and kept in their stored type.

    Args:
        parts: Where patches are cut from.
        data: Patch size, normalisation.
        chosen: The cells; all lattice cells by default.
        known: Raw images of cells that were read already.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        data: Data,
        chosen: Sequence[Cell] | None = None,
        known: Mapping[Cell, NDArray[np.generic]] | None = None,
    ) -> None:
        self.parts = tuple(parts)
        self.data = data
        self.cells = list(cells(parts, data.patch) if chosen is None else chosen)
        self._volumes = [open_volume(part.volume) for part in parts]
        self._scales = [volume.scale(data) for volume in self._volumes]
        read = known or {}
        self._kept = {(i, False): read[cell] for i, cell in enumerate(self.cells) if cell in read}

    def __len__(self) -> int:
        return len(self.cells)

    def image(self, i: int) -> NDArray[np.float32]:
        """Reads patch i (z, y, x), float32 in [0, 1], mirrored beyond the part's border."""
        scale = self._scales[self.cells[i].part]
        return padded(scale(self.raw(i)), self.data.patch)

    def raw(self, i: int) -> NDArray[np.generic]:
        """Reads the stored intensities of patch i within its part; at most a patch in size."""
        return self._block(i, label=False)

    def label(self, i: int) -> NDArray[np.float32]:
        """Reads the label of patch i, a channel for each class but the background (K, z, y, x).

        0 or 1; 0 in the padding, where nothing counts.

        Raises:
            BadInput: The volume has no label.
        """
        block = self._block(i, label=True)
        numbers = np.zeros(self.data.patch, np.uint8)
        numbers[tuple(slice(n) for n in block.shape)] = block
        every = np.arange(1, self.data.classes, dtype=np.uint8)
        return np.asarray(numbers == every.reshape(-1, 1, 1, 1), np.float32)

    def valid(self, i: int) -> NDArray[np.float32]:
        """Marks the voxels of patch i (z, y, x): 1 within the part, 0 in the padding."""
        part, start = self.parts[self.cells[i].part], self.cells[i].start
        valid = np.zeros(self.data.patch, np.float32)
        valid[tuple(slice(n - s) for n, s in zip(part.shape, start, strict=True))] = 1
        return valid

    def forget(self, i: int) -> None:
        """Drops patch i from memory; it is read again when needed."""
        for label in (False, True):
            self._kept.pop((i, label), None)

    def _block(self, i: int, *, label: bool) -> NDArray[np.generic]:
        if (i, label) not in self._kept:
            cell = self.cells[i]
            volume = self._volumes[cell.part]
            place = cut(self.parts[cell.part], cell.start, self.data.patch)
            read = volume.label_block if label else volume.image_block
            self._kept[i, label] = read(place)
        return self._kept[i, label]


def sample(parts: Sequence[Part], data: Data, sampling: Sampling) -> PatchSet:
    """Draws the unlabelled patches that all stages share: seeded, few of them background only.

    A cell shows background only if its share of voxels at the clip limit is under a fiftieth of
    a volume's: 1 in 1000 at the 95th percentile. Deterministic in its arguments: pre-training,
    targets and students see the same cells. What was read of those that are taken is kept.

    Raises:
        BadInput: Not one cell may be taken.
    """
    # By the clip alone, whatever the network will see: the same cells for every normalisation.
    every = PatchSet(parts, data.model_copy(update={"intensity": "percentile"}))
    least = (1 - data.clip_percentile / 100) / 50
    allowed = int(sampling.background_share * sampling.patches)
    chosen: dict[Cell, NDArray[np.generic]] = {}
    for i in permutation(0, "unlabelled cells", 0, len(every)).tolist():
        if len(chosen) == sampling.patches:
            break
        raw = every.raw(i)
        empty = (every.image(i) >= 1).mean() < least
        every.forget(i)
        # Background beyond the share is skipped, not counted: a dark volume takes no more places.
        if empty and allowed == 0:
            continue
        allowed -= int(empty)
        chosen[every.cells[i]] = raw
    if not chosen:
        raise BadInput(
            f"all {len(every)} unlabelled patches show background only: "
            "raise sampling.background_share, or leave empty volumes out"
        )
    return PatchSet(parts, data, sorted(chosen), chosen)
