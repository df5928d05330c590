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
from vpbsd.config import Grid
from vpbsd.data.intensity import normalise
from vpbsd.errors import BadInput
from vpbsd.inference.sliding_window import blocks, predict_block
from vpbsd.networks.build import NETWORK, WEIGHTS, load_network
from vpbsd.section import canonical

SETTINGS = "segment.json"
SIDE = 256  # voxels of a block that is predicted at once, along each axis
THRESHOLD = 0.5


@dataclass(frozen=True)
class SegmentationModel:
    """A trained student and how it wants to see a volume.

    Attributes:
        network: In eval mode, on the device where it will run.
        patch: Voxels (z, y, x) of its window.
        clip_percentile: Intensities above this percentile of a volume are clipped, in [0, 100].
    """

    network: nn.Module
    patch: Grid
    clip_percentile: float

    def predict(self, volume: NDArray[Any]) -> NDArray[np.uint8]:
        """Segments a volume in memory.

        Args:
            volume: Raw intensities (z, y, x) of any size and numeric type, as they were imported:
                they are clipped and scaled here as in training.

        Returns:
            The vessels, 1 where their probability is above one half, else 0; the same shape.

        Raises:
            BadInput: It has not three axes.
        """
        if volume.ndim != 3:
            raise BadInput(f"a volume has the axes z, y, x, but this one has {volume.ndim} axes")
        z, y, x = volume.shape
        low, high = float(volume.min()), float(np.percentile(volume, self.clip_percentile))
        mask = np.zeros(volume.shape, np.uint8)
        with torch.no_grad():
            for place in blocks((z, y, x), SIDE):
                probability = predict_block(
                    self.network,
                    lambda box: normalise(volume[box], low, high),
                    (z, y, x),
                    self.patch,
                    place,
                )
                mask[place] = probability > THRESHOLD
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
    settings = read_settings(folder)
    z, y, x = settings["patch"]
    network = load_network(folder).to(device)
    return SegmentationModel(network, (z, y, x), settings["clip_percentile"])


def write_settings(folder: Path, patch: Grid, clip_percentile: float) -> None:
    """Writes beside the weights how the network wants to see a volume."""
    settings = {"patch": patch, "clip_percentile": clip_percentile}
    (folder / SETTINGS).write_text(canonical(settings))


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
