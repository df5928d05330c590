"""What a round of the network leaves to the next, on disk beside the mask until that is whole.

A piece is there once all chunks that it writes are: each appears at once, checksummed.
"""

from __future__ import annotations

import shutil
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec

from vpbsd.errors import BadInput
from vpbsd.inference.mask import is_mask_of
from vpbsd.inference.tiling import Features, TiledNetwork
from vpbsd.inference.whole import Piece


class FeatureFile:
    """Features (channels, cells along z, y, x) of a whole volume, one of the two arrays.

    Args:
        path: Of the array, which exists.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._array = path, zarr.open_array(path, mode="r+")

    def __getitem__(self, place: tuple[slice, ...]) -> NDArray[np.float32]:
        """Reads a box.

        Raises:
            BadInput: It is damaged.
        """
        try:
            return np.asarray(self._array[place], np.float32)
        except Exception as error:  # whatever a codec raises
            raise BadInput(
                f"{self._path} is damaged: delete {self._path.parent}, and give the command again"
            ) from error

    def __setitem__(self, place: tuple[slice, ...], values: NDArray[np.float32]) -> None:
        """Writes a box."""
        self._array[place] = values

    def holds(self, place: tuple[slice, ...]) -> bool:
        """Tells whether a box was written."""
        ranges = [
            range(p.start // c, -(-p.stop // c))
            for p, c in zip(place[1:], self._array.chunks[1:], strict=True)
        ]
        return all(
            self._path.joinpath("c", "0", *map(str, index)).exists() for index in product(*ranges)
        )


class FeatureFolder:
    """The features of a volume, made or continued.

    Args:
        place: A folder that is nobody else's.
        tiled: What leaves them.
        source: All that they depend on; those of anything else are thrown away.
    """

    def __init__(self, place: Path, tiled: TiledNetwork, source: dict[str, Any]) -> None:
        if place.exists() and not is_mask_of(place, source):
            shutil.rmtree(place)
        if not place.exists():
            for name in Features._fields:
                zarr.create_array(
                    place / name,
                    shape=tiled.feature_shape,
                    chunks=tiled.feature_chunk,
                    dtype="float32",
                    filters=None,
                    compressors=(Crc32cCodec(),),  # floats hardly shrink
                    config={"write_empty_chunks": True},
                )
            zarr.open_group(place, mode="a", attributes={"vpbsd_source": source})
        self._tiled = tiled
        self.features = Features(*(FeatureFile(place / name) for name in Features._fields))

    def holds(self, piece: Piece) -> bool:
        """Tells whether what a piece leaves is there."""
        file: FeatureFile = getattr(self.features, piece.round)
        return file.holds(self._tiled.cells(piece.box))
