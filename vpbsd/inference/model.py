"""A trained student as people use it: a folder in, a network that knows how it wants to see."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError
from torch import nn

from vpbsd.cli import invocation
from vpbsd.config import Data
from vpbsd.data.intensity import Histogram, Table, countable
from vpbsd.data.tissue import measure_volume
from vpbsd.data.tissue_scale import count, largest_mass
from vpbsd.data.volumes import Shape, Slices, Spacing, Volume, VolumeInfo
from vpbsd.errors import BadInput
from vpbsd.inference.decision import label_of
from vpbsd.inference.whole import WholeVolume
from vpbsd.networks.build import NETWORK, WEIGHTS, load_network
from vpbsd.section import Later, canonical

SETTINGS = "segment.json"
SIMILAR = 0.02
"""Share by which voxel sizes may differ and be called the same."""


class Wants(Data):
    """How a student wants to see a volume: as the volumes were that it was trained on."""

    spacing_um: Annotated[Spacing | None, Later()] = None
    """Their voxel size; null: not known, or not the same in all."""
    usual_mass: Annotated[float, Later()] = 0.0
    """The largest share of dark or saturated voxels in any of them, see `largest_mass`."""
    trained_on: Annotated[str, Later()] = ""
    """How many volumes, of how many groups, for people; "": not known."""


@dataclass(frozen=True)
class SegmentationModel:
    """A trained student and how it wants to see a volume.

    Attributes:
        network: In eval mode, on the device where it will run.
        data: Voxels (z, y, x) of its window, how intensities are normalised, its voxel size, and
            what it was trained on. Printing the model says so.
    """

    network: nn.Module
    data: Wants

    def __str__(self) -> str:
        """Says what the student was trained on, and how it wants to see a volume."""
        size, volumes = self.data.spacing_um, self.data.trained_on or "unknown volumes"
        voxels = f"{' x '.join(f'{s:g}' for s in size)} um" if size else "unknown or several sizes"
        return (
            f"{type(self.network).__name__}, trained on {volumes} with voxels (z, y, x) of "
            f"{voxels}, intensities by {self.data.intensity}"
        )

    def predict(self, volume: ArrayLike, spacing: Spacing | None = None) -> NDArray[np.uint8]:
        """Segments a volume in memory, on the device that the network is on.

        Args:
            volume: Raw intensities (z, y, x) of any size and numeric type, as they were imported:
                they are normalised here as in training.
            spacing: Its voxel size (z, y, x) in um; None: not known, and taken on trust.

        Returns:
            The most likely class of each voxel, 0 is background; the same shape.

        Raises:
            BadInput: It is no volume of finite numbers, its voxels have another size than those of
                training, or it cannot be normalised so.
        """
        voxels = numbers(volume)
        check_spacing(self.data.spacing_um, spacing, "this volume")
        image = _InMemory(voxels)
        cells = measure_volume(image.image_block, image.shape)
        usual = self.data.usual_mass
        run = WholeVolume(self.network, self.data, image, cells, "in memory", usual=usual)
        mask = np.zeros(voxels.shape, np.uint8)
        for block, probability in run.probabilities():
            mask[block] = label_of(probability)
        return mask


def numbers(volume: ArrayLike) -> NDArray[Any]:
    """Returns a volume (z, y, x) as an array that numpy and torch can both compute with.

    Raises:
        BadInput: It has not three axes, no voxels, no real numbers, or some that are not finite.

    >>> numbers(np.ones((1, 2, 2), ">u2")).dtype, numbers(np.ones((1, 2, 2), bool)).dtype
    (dtype('uint16'), dtype('uint8'))
    """
    voxels = np.asarray(volume)
    if voxels.ndim != 3:
        raise BadInput(f"a volume has the axes z, y, x, but this one has {voxels.ndim} axes")
    if voxels.dtype.kind not in "biuf":
        raise BadInput(f"a volume holds real numbers, but this one holds {voxels.dtype}")
    if not voxels.size:
        raise BadInput("this volume holds no voxels")
    if voxels.dtype.kind == "b":
        voxels = voxels.astype(np.uint8)
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        raise BadInput("this volume holds voxels that are no numbers (NaN or infinite)")
    if voxels.dtype in (np.float16, np.longdouble):
        voxels = voxels.astype(np.float32 if voxels.dtype == np.float16 else np.float64)
    return voxels.astype(voxels.dtype.newbyteorder("="), copy=False)


def alike(one: Spacing | None, other: Spacing | None) -> bool:
    """Tells whether voxel sizes are the same to a fiftieth on every axis, or one is not known."""
    if one is None or other is None:
        return True
    return all(abs(a / b - 1) <= SIMILAR for a, b in zip(one, other, strict=True))


def check_spacing(
    wanted: Spacing | None,
    given: Spacing | None,
    what: str,
    remedy: str = "resample the volume, and import it again",
) -> None:
    """Refuses a volume of another voxel size than that of the training volumes.

    Raises:
        BadInput: One is no voxel size, or both are known and differ by more than a fiftieth on
            some axis.
    """
    if given is not None and (len(given) != 3 or not all(s > 0 for s in given)):
        raise BadInput(f"a voxel size is three positive numbers (z, y, x) in um, not {given}")
    if wanted is None or given is None or alike(given, wanted):
        return
    there, here = (" x ".join(f"{s:g}" for s in x) for x in (given, wanted))
    raise BadInput(
        f"{what} has voxels of {there} um, but the model was trained at {here} um: things look "
        f"different to it; {remedy}"
    )


class _InMemory:
    """An array as an `Image`."""

    def __init__(self, volume: NDArray[Any]) -> None:
        self._volume = volume
        z, y, x = volume.shape
        self.shape: Shape = (z, y, x)
        self.intensity: Histogram | Table
        if countable(volume.dtype):
            self.intensity = count([volume])
        else:
            values, counts = np.unique(volume, return_counts=True)
            self.intensity = Histogram(values.astype(np.float64), counts)

    def image_block(self, slices: Slices) -> NDArray[Any]:
        return self._volume[slices]


def load_model(folder: str | Path, device: str | torch.device | None = None) -> SegmentationModel:
    """Loads a model folder that `vpbsd final` wrote.

    Args:
        folder: Holds weights, the network's config and how it wants to see a volume.
        device: Where it will run, such as "cpu"; None: on a GPU where there is one.

    Raises:
        BadInput: It is no model folder, or a file in it is missing or damaged; it is named.
    """
    folder = Path(folder)
    wants = read_settings(folder)
    try:
        network = load_network(folder)
    except Exception as error:  # whatever JSON, safetensors, pydantic or torch raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BadInput(
            f"{folder}: {WEIGHTS} or {NETWORK} is damaged ({reason}): copy the folder again, or "
            f"run `{invocation('final')}` again"
        ) from error
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return SegmentationModel(network.to(device), wants)


def write_settings(folder: Path, data: Data, volumes: Iterable[VolumeInfo] = ()) -> None:
    """Writes beside the weights how the network wants to see a volume.

    Args:
        folder: The model's.
        data: What it was trained under.
        volumes: What it was trained on.
    """
    volumes = list(volumes)
    spacings = {v.spacing_um for v in volumes}
    wants = Wants(
        **data.model_dump(),
        spacing_um=spacings.pop() if len(spacings) == 1 else None,
        usual_mass=max((largest_mass(Volume(v).intensity) for v in volumes), default=0.0),
        trained_on=_counted(volumes),
    )
    (folder / SETTINGS).write_text(canonical(wants))


def _counted(volumes: Sequence[VolumeInfo]) -> str:
    groups = {v.group for v in volumes}
    return f"{len(volumes)} labelled volumes of {len(groups)} groups" if volumes else ""


def read_settings(folder: Path) -> Wants:
    """Reads what `write_settings` wrote.

    Raises:
        BadInput: It is no model folder; the missing or damaged file is named.
    """
    for name in (WEIGHTS, NETWORK, SETTINGS):
        if not (folder / name).is_file():
            raise BadInput(
                f"{folder} is no model folder ({name} is missing): give the folder that "
                f"`{invocation('final')}` wrote"
            )
    try:
        return Wants.model_validate_json((folder / SETTINGS).read_text())
    except (ValidationError, ValueError) as error:
        raise BadInput(
            f"{folder / SETTINGS} is damaged or of a newer version: copy the folder again"
        ) from error


def identity(folder: Path) -> dict[str, Any]:
    """Describes a model by its settings and the SHA-256 of its weights."""
    with (folder / WEIGHTS).open("rb") as file:
        weights = hashlib.file_digest(file, "sha256").hexdigest()
    network = json.loads((folder / NETWORK).read_text())
    return {"settings": json.loads(canonical(read_settings(folder))), "weights": weights} | {
        "network": network
    }
