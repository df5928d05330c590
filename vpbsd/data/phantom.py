"""Phantoms: procedural vascular volumes with exact labels, the data set that needs no download.

One integer, `NUMERICS`, answers for every voxel that this file and those of its style, vessels
and imaging make.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpbsd.data.phantom_imaging import expose, render
from vpbsd.data.phantom_style import NUMERICS, SPACING_UM, Shape, Style, animal
from vpbsd.data.phantom_vessels import grow, inflate, trace
from vpbsd.errors import BadInput

LABELLED_GROUPS = 6
UNLABELLED_GROUPS = 8
DEFAULT_SEED = 32  # of 64 tried; a threshold reaches DSC .62 to .72 on each of its volumes

__all__ = [
    "DEFAULT_SEED",
    "LABELLED_GROUPS",
    "NUMERICS",
    "SPACING_UM",
    "UNLABELLED_GROUPS",
    "PhantomVolume",
    "Style",
    "phantom",
    "phantom_of_group",
    "phantom_volumes",
]


@dataclass(frozen=True)
class PhantomVolume:
    """One volume of the default data set; ``label`` is None where the set has none."""

    name: str
    group: str
    image: NDArray[np.uint16]
    label: NDArray[np.uint8] | None


def phantom(
    seed: int, shape: Shape, style: Style | None = None
) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Draws one volume: a vascular network, seen through a light-sheet microscope.

    Vessels and optics have their own random streams: the same seed under another microscope shows
    the same vessels.

    Returns:
        Image and label (1 in vessels, else 0), both (z, y, x) of ``shape``, spacing SPACING_UM.

    Raises:
        BadInput: an axis is shorter than 8 voxels.
    """
    if min(shape) < 8:
        raise BadInput(f"phantom of shape {shape}: every axis needs at least 8 voxels")
    style = style or Style()
    anatomy, optics = (np.random.Generator(np.random.PCG64(s)) for s in _streams(seed))
    network = grow(anatomy, shape, style)
    vessels = trace(anatomy, network, style)
    glow = render(inflate(vessels, shape, style), shape)
    return expose(optics, glow, style), (glow > 0).astype(np.uint8)


def phantom_volumes(
    seed: int = DEFAULT_SEED,
    labelled_shape: Shape = (40, 96, 96),
    unlabelled_shape: Shape = (64, 96, 96),
    groups: tuple[int, int] = (LABELLED_GROUPS, UNLABELLED_GROUPS),
) -> Iterator[PhantomVolume]:
    """Yields a data set: one volume of each group, so many with label, then so many without."""
    for number in range(sum(groups)):
        labelled = number < groups[0]
        image, label = phantom_of_group(
            seed, number, labelled_shape if labelled else unlabelled_shape
        )
        group = f"animal{number:02d}"
        yield PhantomVolume(f"phantom_{group}", group, image, label if labelled else None)


def phantom_of_group(
    seed: int, number: int, shape: Shape
) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Draws the volume of one group of the data set ``seed``, always with its label."""
    rng = np.random.Generator(np.random.PCG64([seed, number]))
    return phantom(int(rng.integers(2**63)), shape, animal(rng))


def _streams(seed: int) -> list[np.random.SeedSequence]:
    return np.random.SeedSequence(seed).spawn(2)
