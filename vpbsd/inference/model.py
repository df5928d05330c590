"""A trained student as people use it: a folder in, a network that knows how it wants to see."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vpbsd.cli import invocation
from vpbsd.config import Data
from vpbsd.data.intensity import Histogram
from vpbsd.data.normalisation import scale
from vpbsd.errors import BadInput
from vpbsd.inference.sliding_window import blocks, label_of, predict_block
from vpbsd.networks.build import NETWORK, WEIGHTS, load_network
from vpbsd.section import canonical

SETTINGS = "segment.json"
SIDE = 256  # voxels of a block that is predicted at once, along each axis


@dataclass(frozen=True)
class SegmentationModel:
    """A trained student and how it wants to see a volume.

    Attributes:
        network: In eval mode, on the device where it will run.
        data: Voxels (z, y, x) of its window, and how intensities are normalised.
    """

    network: nn.Module
    data: Data

    def predict(self, volume: NDArray[Any]) -> NDArray[np.uint8]:
        """Segments a volume in memory.

        Args:
            volume: Raw intensities (z, y, x) of any size and numeric type, as they were imported:
                they are normalised here as in training.

        Returns:
            The most likely class of each voxel, 0 is background; the same shape.

        Raises:
            BadInput: It has not three axes, or cannot be normalised so.
        """
        if volume.ndim != 3:
            raise BadInput(f"a volume has the axes z, y, x, but this one has {volume.ndim} axes")
        z, y, x = volume.shape
        counted = Histogram(*np.unique(volume, return_counts=True))
        scaled = scale(self.data, counted, "in memory")
        mask = np.zeros(volume.shape, np.uint8)
        with torch.no_grad():
            for place in blocks((z, y, x), SIDE):
                probability = predict_block(
                    self.network,
                    lambda box: scaled(volume[box]),
                    (z, y, x),
                    self.data.patch,
                    place,
                )
                mask[place] = label_of(probability)
        return mask


def load_model(folder: str | Path, device: str | torch.device = "cpu") -> SegmentationModel:
    """Loads a model folder that `vpbsd final` wrote.

    Args:
        folder: Holds weights, the network's config and how it wants to see a volume.
        device: Where it will run, such as "cuda".

    Raises:
        BadInput: It is no model folder; the missing file is named.
    """
    folder = Path(folder)
    data = Data.model_validate(read_settings(folder))
    return SegmentationModel(load_network(folder).to(device), data)


def write_settings(folder: Path, data: Data) -> None:
    """Writes beside the weights how the network wants to see a volume."""
    (folder / SETTINGS).write_text(canonical(data))


def read_settings(folder: Path) -> dict[str, Any]:
    """Reads what `write_settings` wrote.

    Raises:
        BadInput: It is no model folder; the missing file is named.
    """
    for name in (WEIGHTS, NETWORK, SETTINGS):
        if not (folder / name).is_file():
            raise BadInput(
                f"{folder} is no model folder ({name} is missing): give the folder that "
                f"`{invocation('final')}` wrote"
            )
    settings: dict[str, Any] = json.loads((folder / SETTINGS).read_text())
    return settings
