"""A network over a volume of any size, tile by tile: the answer of one pass over all of it.

Tiles overlap by the network's reach, of which nothing is kept; so nothing is blended, and the
answer depends neither on the tiles nor on what else is computed. A region is computed alone, in
two rounds: the context of all its tiles, which the deep levels then see at once; after that the
tiles themselves. The volume is mirrored at its far ends, up to sides that are multiples of 32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vpbsd.config import Grid
from vpbsd.data.lattice import padded
from vpbsd.inference.folded import REACH_CONTEXT, REACH_DEEP, REACH_FINE, FoldedUNet
from vpbsd.inference.sliding_window import Read, Slices, blocks
from vpbsd.networks.output import DEEPEST

HALF = DEEPEST // 2
T = TypeVar("T")


@dataclass(frozen=True)
class Tiling:
    """How a volume is cut; any of them gives the same answer.

    Attributes:
        region: Voxels along each axis of what is computed alone; a multiple of `side`.
        side: Of a tile, without what it overlaps; a multiple of 32.
        batch: Tiles that go through the network together.
    """

    region: int = 768
    side: int = 256
    batch: int = 1

    def regions(self, shape: Grid) -> list[Slices]:
        """Lists the pieces of a volume that are computed alone."""
        return blocks(shape, self.region)

    def blocks(self, region: Slices) -> list[Slices]:
        """Lists the blocks of a region, each of which is computed at once."""
        z0, y0, x0 = (r.start for r in region)
        depth, height, width = (r.stop - r.start for r in region)
        return [
            (
                slice(z.start + z0, z.stop + z0),
                slice(y.start + y0, y.stop + y0),
                slice(x.start + x0, x.stop + x0),
            )
            for z, y, x in blocks((depth, height, width), self.side)
        ]


class Tile(NamedTuple):
    """A box that the network sees, and the part of it that is kept; in voxels of the volume."""

    window: Slices
    core: Slices


def tiles(box: Slices, limits: Grid, side: int, halo: int) -> list[Tile]:
    """Cuts a box in tiles; windows have one size and end where the volume does.

    Args:
        box: What is wanted, at multiples of 32.
        limits: Sides of the volume, multiples of 32.
        side: Of a core, a multiple of 32.
        halo: Voxels around it, a multiple of 16.

    >>> [tile.window[2] for tile in tiles(np.s_[0:32, 0:32, 0:160], (32, 32, 192), 64, 16)]
    [slice(0, 96, None), slice(48, 144, None), slice(96, 192, None)]
    """
    axes = []
    for b, limit in zip(box, limits, strict=True):
        step = min(side, b.stop - b.start)
        size = min(step + 2 * halo, limit)
        cores = [slice(a, min(a + step, b.stop)) for a in range(b.start, b.stop, step)]
        firsts = [min(max(core.start - halo, 0), limit - size) for core in cores]
        axes.append([(slice(a, a + size), c) for a, c in zip(firsts, cores, strict=True)])
    return [Tile((z, y, x), (a, b, c)) for (z, a), (y, b), (x, c) in product(*axes)]


class TiledNetwork:
    """A folded network and the volume that it is run on.

    Args:
        network: On the device where it will run.
        read: Gives the normalised image of a box of the volume.
        shape: The volume's.
        occupied: Tells whether a box of the volume may hold anything but `empty`. Where it says
            no, nothing is read and no vessel is found.
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
        self._device = next(network.parameters()).device
        z, y, x = (-(-n // DEEPEST) * DEEPEST for n in shape)
        self._limits: Grid = (z, y, x)
        self._nothing: dict[object, Tensor] = {}

    @torch.inference_mode()
    def logits(
        self, region: Slices, wanted: Callable[[Slices], bool] = lambda block: True
    ) -> Iterator[tuple[Slices, NDArray[np.float32]]]:
        """Computes the logits of vessel against background in one of the regions.

        Args:
            region: One of `Tiling.regions`.
            wanted: Tells whether a block (of the tiling's side) is to be computed.

        Yields:
            (block, its logits): all wanted blocks that are occupied.
        """
        box = _grown(region, 0, self._limits)
        cut = tiles(box, self._limits, self.tiling.side, _halo(REACH_FINE))
        chosen = [
            (tile, block)
            for tile in cut
            if wanted(block := self._within(tile.core)) and self._occupied(block)
        ]
        if not chosen:
            return
        wide = _grown(region, -(-REACH_DEEP // DEEPEST) * DEEPEST, self._limits)
        deep = self.network.deep(self._context(wide))
        for some in _batches(chosen, self.tiling.batch):
            x = torch.cat([self._image(tile.window) for tile, _ in some])
            below = torch.cat([deep[self._cells(tile.window, wide)] for tile, _ in some])
            found = self.network.fine(x, below)[:, 0].cpu().numpy()
            for (tile, block), logit in zip(some, found, strict=True):
                yield block, logit[_inside(block, tile.window)]

    def _context(self, box: Slices) -> Tensor:
        sides = [(b.stop - b.start) // s for b, s in zip(box, self.network.scale, strict=True)]
        shape = (1, self.network.width, *sides)
        context = torch.empty(shape, device=self._device)
        cut = tiles(box, self._limits, self.tiling.side, _halo(REACH_CONTEXT))
        full = []
        for tile in cut:
            if self._occupied(self._within(tile.window)):
                full.append(tile)
            else:
                context[self._cells(tile.core, box)] = self._context_of_nothing(tile)
        for some in _batches(full, self.tiling.batch):
            found = self.network.context(torch.cat([self._image(tile.window) for tile in some]))
            for tile, one in zip(some, found, strict=True):
                place = self._cells(tile.core, tile.window)
                context[self._cells(tile.core, box)] = one[None][place]
        return context

    def _context_of_nothing(self, tile: Tile) -> Tensor:
        """Computes the context of emptiness, once for all tiles that end with the volume alike."""
        ends = [
            (w.start == 0, w.stop == n, c.start - w.start, c.stop - w.start)
            for w, c, n in zip(*tile, self._limits, strict=True)
        ]
        key = tuple(ends)
        if key not in self._nothing:
            sides = [w.stop - w.start for w in tile.window]
            image = torch.full((1, 1, *sides), self._level, device=self._device)
            found = self.network.context(image)
            self._nothing[key] = found[self._cells(tile.core, tile.window)]
        return self._nothing[key]

    def _image(self, window: Slices) -> Tensor:
        z, y, x = (w.stop - w.start for w in window)
        image = padded(self._read(self._within(window)), (z, y, x))
        tensor = torch.from_numpy(np.ascontiguousarray(image))[None, None].to(self._device)
        return tensor.contiguous(memory_format=torch.channels_last_3d)

    def _within(self, box: Slices) -> Slices:
        """Leaves out what lies beyond the volume."""
        z, y, x = (slice(b.start, min(b.stop, n)) for b, n in zip(box, self._shape, strict=True))
        return z, y, x

    def _cells(self, box: Slices, frame: Slices) -> tuple[slice, ...]:
        """Finds a box in what was computed of a frame, at the resolution of the context."""
        inside = _inside(box, frame)
        cells = [
            slice(b.start // s, b.stop // s)
            for b, s in zip(inside, self.network.scale, strict=True)
        ]
        return (slice(None), slice(None), *cells)


def _grown(box: Slices, by: int, limits: Grid) -> Slices:
    """Grows a box to multiples of 32, and by so many voxels more, within the limits."""
    z, y, x = (
        slice(max(b.start - by, 0), min(-(-b.stop // DEEPEST) * DEEPEST + by, n))
        for b, n in zip(box, limits, strict=True)
    )
    return z, y, x


def _inside(box: Slices, frame: Slices) -> Slices:
    """Gives a box in the coordinates of a frame around it."""
    z, y, x = (slice(b.start - f.start, b.stop - f.start) for b, f in zip(box, frame, strict=True))
    return z, y, x


def _halo(reach: int) -> int:
    return -(-reach // HALF) * HALF


def _batches(items: list[T], size: int) -> Iterator[list[T]]:
    yield from (items[i : i + size] for i in range(0, len(items), size))
