"""A network over a volume of any size, piece by piece: the answer of one pass over all of it.

Pieces overlap by the network's reach, of which nothing is kept; so nothing is blended, and the
answer depends neither on the pieces nor on who computes them. There are three rounds, one for each
part of the network: the context of all tiles; the deep levels, which see whole regions of it at
once; the tiles again. Each needs what the one before left, see `Features`. The volume is mirrored
at its far ends, up to sides that are multiples of 32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vpbsd.config import Grid
from vpbsd.data.boxes import blocks, inside
from vpbsd.data.lattice import padded
from vpbsd.inference.folded import REACH_CONTEXT, REACH_DEEP, REACH_FINE, FoldedUNet
from vpbsd.inference.sliding_window import Read, Slices
from vpbsd.networks.output import DEEPEST

HALF = DEEPEST // 2


@dataclass(frozen=True)
class Tiling:
    """How a volume is cut; any of them gives the same answer.

    Attributes:
        region: Voxels along each axis of what the deep levels see at once, without what it
            overlaps; a multiple of `side`.
        side: Of a tile, likewise; a multiple of 32.
    """

    region: int = 768
    side: int = 256

    def blocks(self, shape: Grid) -> list[Slices]:
        """Lists the pieces of a volume that are answered at once."""
        return blocks(shape, self.side)


class Features(NamedTuple):
    """What a round leaves to the next; arrays of `TiledNetwork.feature_shape`, in any storage."""

    context: Any
    deep: Any


class TiledNetwork:
    """A folded network and the volume that it is run on.

    Args:
        network: On the device where it will run.
        read: Gives the normalised image of a box of the volume.
        shape: The volume's.
        occupied: Tells whether a box of the volume may hold anything but `empty`. Where it says
            no, nothing is read.
        tiling: How it is cut.
        empty: What an image holds where it is not occupied.
    """

    def __init__(
        self,
        network: FoldedUNet,
        read: Read,
        shape: Grid,
        occupied: Callable[[Slices], bool] = lambda box: True,
        tiling: Tiling | None = None,
        empty: float = 0.0,
    ) -> None:
        self.network, self.tiling = network, tiling or Tiling()
        self._read, self._shape, self._occupied = read, shape, occupied
        self._level = empty
        z, y, x = (-(-n // DEEPEST) * DEEPEST for n in shape)
        self._limits: Grid = (z, y, x)
        self._nothing: dict[object, NDArray[np.float32]] = {}

    @property
    def feature_shape(self) -> tuple[int, int, int, int]:
        """Channels, and cells along z, y, x, of what a round leaves."""
        z, y, x = (n // s for n, s in zip(self._limits, self.network.scale, strict=True))
        return self.network.width, z, y, x

    @property
    def feature_chunk(self) -> tuple[int, int, int, int]:
        """The part of it that a tile leaves."""
        z, y, x = (self.tiling.side // s for s in self.network.scale)
        return self.network.width, z, y, x

    def cells(self, box: Slices) -> tuple[slice, ...]:
        """Finds a box at multiples of 32 in an array of features."""
        return (
            slice(None),
            *(
                slice(b.start // s, b.stop // s)
                for b, s in zip(box, self.network.scale, strict=True)
            ),
        )

    def deep_boxes(self, blocks: Iterable[Slices], wanted: Iterable[Slices]) -> list[Slices]:
        """Lists the boxes, at most one in each region, of the deep features that blocks need.

        Args:
            blocks: All that are ever computed: what a box is depends on them alone.
            wanted: Those of them whose boxes are listed.
        """
        found: dict[tuple[int, ...], Slices] = {}
        for block in blocks:
            for index, part in self._regions_about(block):
                found[index] = _around(found.get(index, part), part)
        needed = {index for block in wanted for index, _ in self._regions_about(block)}
        return [found[index] for index in sorted(needed)]

    def context_boxes(self, deep: Iterable[Slices]) -> list[Slices]:
        """Lists the tiles whose context some boxes of deep features need."""
        found = {
            index: tile
            for box in deep
            for index, tile in self._lattice(self._below(box), self.tiling.side)
        }
        return [found[index] for index in sorted(found) if self._full(found[index])]

    @torch.inference_mode()
    def context(self, tile: Slices) -> NDArray[np.float32]:
        """Computes the context (channels, cells) of one of the tiles."""
        window = self._window(tile, REACH_CONTEXT)
        found = self.network.context(self._image(window))
        return _numpy(found[0][self.cells(inside(tile, window))])

    @torch.inference_mode()
    def deep(self, box: Slices, context: Any) -> NDArray[np.float32]:  # noqa: ANN401 (an array)
        """Computes the deep features (channels, cells) of a box from the context of all tiles."""
        wide = self._below(box)
        sides = [(w.stop - w.start) // s for w, s in zip(wide, self.network.scale, strict=True)]
        seen = np.empty((self.network.width, *sides), np.float32)
        for _, tile in self._lattice(wide, self.tiling.side):
            part = _meeting(tile, wide)
            if self._full(tile):
                values = np.asarray(context[self.cells(part)])
            else:
                values = self._context_of_nothing(tile)[self.cells(inside(part, tile))]
            seen[self.cells(inside(part, wide))] = values
        found = self.network.deep(torch.from_numpy(seen)[None].to(self._device))
        return _numpy(found[0][self.cells(inside(box, wide))])

    @torch.inference_mode()
    def logits(self, block: Slices, deep: Any) -> NDArray[np.float32]:  # noqa: ANN401 (an array)
        """Computes the logits of a block from the deep features around it."""
        window = self._window(block, REACH_FINE)
        below = torch.from_numpy(np.asarray(deep[self.cells(window)]))[None].to(self._device)
        found = self.network.fine(self._image(window), below)[0, 0]
        return _numpy(found[inside(block, window)])

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device

    def _full(self, tile: Slices) -> bool:
        """Tells whether the context of a tile sees anything but emptiness."""
        return self._occupied(self._within(self._window(tile, REACH_CONTEXT)))

    def _context_of_nothing(self, tile: Slices) -> NDArray[np.float32]:
        """Computes the context of emptiness, once for all tiles that end with the volume alike."""
        window = self._window(tile, REACH_CONTEXT)
        ends = [(t.start - w.start, w.stop - t.stop) for t, w in zip(tile, window, strict=True)]
        key = (*ends, *(t.stop - t.start for t in tile))
        if key not in self._nothing:
            sides = [w.stop - w.start for w in window]
            image = torch.full((1, 1, *sides), self._level, device=self._device)
            found = self.network.context(image)[0]
            self._nothing[key] = _numpy(found[self.cells(inside(tile, window))])
        return self._nothing[key]

    def _image(self, window: Slices) -> Tensor:
        z, y, x = (w.stop - w.start for w in window)
        image = padded(self._read(self._within(window)), (z, y, x))
        tensor = torch.from_numpy(np.ascontiguousarray(image))[None, None].to(self._device)
        return tensor.contiguous(memory_format=torch.channels_last_3d)

    def _window(self, box: Slices, reach: int) -> Slices:
        """Gives what a part of the network is shown, so that a box of its answer is exact."""
        z, y, x = (
            slice(max(min(w.start, n - 2 * DEEPEST), 0), w.stop)  # holds what its end mirrors
            for w, n in zip(
                _grown(box, -(-reach // HALF) * HALF, self._limits), self._limits, strict=True
            )
        )
        return z, y, x

    def _below(self, box: Slices) -> Slices:
        """Gives the context that deep features of a box depend on, and more."""
        return _grown(box, -(-REACH_DEEP // DEEPEST) * DEEPEST, self._limits)

    def _regions_about(self, block: Slices) -> Iterator[tuple[tuple[int, ...], Slices]]:
        """Yields the regions whose deep features a block needs: their indices, and which."""
        window = self._window(block, REACH_FINE)
        for index, region in self._lattice(window, self.tiling.region):
            yield index, _meeting(window, region)

    def _lattice(self, box: Slices, side: int) -> Iterator[tuple[tuple[int, ...], Slices]]:
        """Yields the cells of a lattice that a box meets: their indices, their voxels."""
        for index in product(*(range(b.start // side, -(-b.stop // side)) for b in box)):
            z, y, x = (
                slice(i * side, min((i + 1) * side, n))
                for i, n in zip(index, self._limits, strict=True)
            )
            yield index, (z, y, x)

    def _within(self, box: Slices) -> Slices:
        """Leaves out what lies beyond the volume."""
        z, y, x = (slice(b.start, min(b.stop, n)) for b, n in zip(box, self._shape, strict=True))
        return z, y, x


def _grown(box: Slices, by: int, limits: Grid) -> Slices:
    """Grows a box to multiples of 32, and by so many voxels more, within the limits."""
    z, y, x = (
        slice(
            max(b.start // DEEPEST * DEEPEST - by, 0), min(-(-b.stop // DEEPEST) * DEEPEST + by, n)
        )
        for b, n in zip(box, limits, strict=True)
    )
    return z, y, x


def _meeting(box: Slices, other: Slices) -> Slices:
    """Gives what two boxes share."""
    z, y, x = (
        slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(box, other, strict=True)
    )
    return z, y, x


def _around(box: Slices, other: Slices) -> Slices:
    """Gives the smallest box around two."""
    z, y, x = (
        slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(box, other, strict=True)
    )
    return z, y, x


def _numpy(x: Tensor) -> NDArray[np.float32]:
    return np.asarray(x.contiguous().cpu().numpy(), np.float32)
