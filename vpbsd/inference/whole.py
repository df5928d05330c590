"""A trained student on a whole volume: what is tissue, how it is seen, and how it is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import nn

from vpbsd.config import Data
from vpbsd.data.lattice import padded
from vpbsd.data.sight import FADE, Image, Sight
from vpbsd.data.tissue import CELL, Cells, find_tissue
from vpbsd.data.tissue_scale import masses
from vpbsd.data.volumes import Slices
from vpbsd.inference.folded import FoldedUNet
from vpbsd.inference.sliding_window import predict_block, window_starts
from vpbsd.inference.statistics import takes_statistics, with_running_statistics
from vpbsd.inference.tiling import Features, TiledNetwork, Tiling
from vpbsd.networks.light_unet import LightUNet

Statistics = Literal["volume", "window"]
"""Where a GroupNorm network takes them: once, or in each window; windows are then blended."""
WINDOWS = 64
"""Windows that a volume's statistics are taken from."""
FULL = 0.9
"""Share of tissue in such a window, if there are any."""
Round = Literal["context", "deep", "answer"]


class Piece(NamedTuple):
    """Some work that is done alone; it needs all pieces of the rounds before its own."""

    round: Round
    box: Slices


class WholeVolume:
    """A student and the volume that it segments.

    Args:
        network: In eval mode, on the device where it will run.
        data: How it was trained to see.
        image: The volume.
        cells: Measured on it.
        name: Of the volume, for messages.
        usual: See `masses`.
        statistics: See `Statistics`.
        tiling: How the volume is cut.

    Attributes:
        tissue: What of the volume is.
        features: Where rounds leave what the next one needs; in memory, unless set.

    Raises:
        BadInput: The tissue cannot be normalised as the student wants it.
    """

    def __init__(  # noqa: PLR0913 (all of it is one volume under one student)
        self,
        network: nn.Module,
        data: Data,
        image: Image,
        cells: Cells,
        name: str,
        *,
        usual: float = 0.0,
        statistics: Statistics = "volume",
        tiling: Tiling | None = None,
    ) -> None:
        self._data = data
        self._network: nn.Module | None = network  # where windows are blended
        self._shape, self.tiling = image.shape, tiling or Tiling()
        self.tissue = find_tissue(cells, masses(image.intensity, usual))
        self.features: Features | None = None
        self.tiled: TiledNetwork | None = None
        if not self.tissue.cells.any():
            return
        self._sight = Sight(image, self.tissue, data, name)
        # `local` compares a voxel with its window, so windows must be those of training.
        tiled = isinstance(network, LightUNet) and network.head.out_channels == 2
        if statistics == "volume" and data.intensity != "local" and tiled:
            assert isinstance(network, LightUNet)
            fixed = network
            if takes_statistics(network):
                windows = self._typical_windows().to(next(network.parameters()).device)
                fixed = with_running_statistics(network, windows)
            self.tiled = TiledNetwork(
                FoldedUNet(fixed),
                self._sight.read,
                self._shape,
                self.occupied,
                self.tiling,
                empty=self._sight.level,
            )
            self._network = None

    def to(self, device: str | torch.device) -> None:
        """Moves what computes to where it will run."""
        if self._network is not None:
            self._network.to(device)
        if self.tiled is not None:
            self.tiled.network.to(device)

    def occupied(self, box: Slices) -> bool:
        """Tells whether a box holds tissue, or lies so near that it is filled by it."""
        z, y, x = (
            slice(max(b.start - FADE, 0), min(b.stop + FADE, n))
            for b, n in zip(box, self._shape, strict=True)
        )
        return self.tissue.touches((z, y, x))

    def blocks(self) -> list[Slices]:
        """Lists the blocks that hold tissue; in all others there is no vessel."""
        return [b for b in self.tiling.blocks(self._shape) if self.tissue.touches(b)]

    def rounds(
        self, wanted: list[Slices], held: Callable[[Piece], bool] = lambda piece: False
    ) -> list[list[Piece]]:
        """Lists what is to be computed for some of the blocks, round by round.

        Args:
            wanted: Some of `blocks`.
            held: Tells whether the features that a piece leaves are there already.
        """
        answers = [Piece("answer", block) for block in wanted]
        if self.tiled is None:
            return [answers]
        boxes = self.tiled.deep_boxes(self.blocks(), wanted)
        deep = [piece for box in boxes if not held(piece := Piece("deep", box))]
        tiles = self.tiled.context_boxes(piece.box for piece in deep)
        context = [piece for box in tiles if not held(piece := Piece("context", box))]
        return [context, deep, answers]

    def compute(self, piece: Piece) -> NDArray[np.float32] | None:
        """Computes a piece, once all pieces of the rounds before are.

        Returns:
            Of an answer, the foreground probability of its block, as `predict_block` gives it.
        """
        if self.tiled is None:
            return self._of_tissue(piece.box, self._blended(piece.box))
        context, deep = self._features()
        if piece.round == "answer":
            return self._of_tissue(piece.box, expit(self.tiled.logits(piece.box, deep)))
        place = self.tiled.cells(piece.box)
        if piece.round == "context":
            context[place] = self.tiled.context(piece.box)
        else:
            deep[place] = self.tiled.deep(piece.box, context)
        return None

    def probabilities(self) -> Iterator[tuple[Slices, NDArray[np.float32]]]:
        """Computes all blocks with tissue, here and now: where, and the foreground probability."""
        for pieces in self.rounds(self.blocks()):
            for piece in pieces:
                found = self.compute(piece)
                if found is not None:
                    yield piece.box, found

    def _features(self) -> Features:
        if self.features is None:
            assert self.tiled is not None
            context, deep = (np.empty(self.tiled.feature_shape, np.float32) for _ in range(2))
            self.features = Features(context, deep)
        return self.features

    def _blended(self, block: Slices) -> NDArray[np.float32]:
        patch = self._data.patch
        assert self._network is not None
        return predict_block(self._network, self._sight.read, self._shape, patch, block)

    def _of_tissue(self, block: Slices, probability: NDArray[np.float32]) -> NDArray[np.float32]:
        background = self._sight.background(block)
        if background is not None:
            probability[..., background] = 0
        return probability

    def _typical_windows(self) -> torch.Tensor:
        """Reads windows (N, 1, D, H, W) that are spread evenly over the tissue."""
        patch, tissue = self._data.patch, self.tissue.cells
        axes = []
        for axis, (n, p) in enumerate(zip(self._shape, patch, strict=True)):
            held = np.flatnonzero(tissue.any(tuple({0, 1, 2} - {axis})))
            first, last = int(held[0]) * CELL, min(int(held[-1] + 1) * CELL, n)
            starts = window_starts(last - first, p)
            axes.append([slice(first + s, min(first + s + p, last)) for s in starts])
        places: list[Slices] = [(z, y, x) for z, y, x in product(*axes)]
        share = np.array([self._share(place) for place in places])
        full = np.flatnonzero(share >= min(FULL, share.max()))
        chosen = full[:: -(-len(full) // WINDOWS)]
        images = [padded(self._sight.read(places[i]), patch) for i in chosen]
        return torch.from_numpy(np.stack(images))[:, None]

    def _share(self, place: Slices) -> float:
        """Computes the share of tissue in a window, in cells."""
        z, y, x = (slice(b.start // CELL, -(-b.stop // CELL)) for b in place)
        return float(self.tissue.cells[z, y, x].mean())
