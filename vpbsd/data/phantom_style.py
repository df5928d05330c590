"""How a phantom looks: voxel size, the style of an animal, and how styles are drawn."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUMERICS = 2
"""Version of the phantom's files together: raised by hand when any of them moves a voxel."""

SPACING_UM = (3.0, 1.625, 1.625)
"""Voxel size z, y, x in micrometres."""

CAPILLARY_UM = (2.8, 5.2)
"""Least and largest radius of the thinnest vessels: 1.7 to 3.2 voxels in plane."""

Floats = NDArray[np.float64]
Ints = NDArray[np.signedinteger[Any]]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Style:
    """How one animal looks: its vessels, its staining, and the microscope on that day.

    Lengths are in micrometres, brightness in photons per voxel, or relative where it says so.
    """

    mesh_um: float = 32.0  # mean distance of neighbouring branch points: the vessel density
    share: float = 0.116  # of the volume that vessels fill; it sets the radius of capillaries
    bed: float = 3.0  # branch points that one capillary feeds; more need a larger vessel
    trunk: float = 2.1  # radius that no vessel exceeds, in radii of a capillary
    trees: int = 3  # arteries and veins that feed the volume from its border
    tortuosity: float = 0.06  # wobble of a vessel, relative to its length
    staining: float = 0.17  # standard deviation of the log brightness along vessels
    faint: float = 0.05  # share of branch points that are poorly stained
    hollow: float = 0.4  # share of the trees whose large vessels are stained at the wall only
    signal: float = 250.0  # photons of a well stained vessel
    tissue: float = 60.0  # photons of the autofluorescence
    texture: float = 0.72  # standard deviation of the log brightness of the tissue
    cells: float = 13.0  # bright bodies that are no vessels, per 10^6 cubic micrometres
    haze: float = 0.25  # out-of-focus light around vessels, relative to signal
    blur_um: float = 1.6  # standard deviation of the point spread in plane; 1.6 times that in z
    shading: float = 0.17  # standard deviation of the log illumination
    stripes: float = 0.06  # the same of the shadows along the light sheet (x)
    read_noise: float = 58.0  # standard deviation of the camera's noise, in photons
    capillary_um: tuple[float, float] = CAPILLARY_UM  # least and largest radius of a capillary
    attenuation: float = 0.0  # d: light falls as exp(-d z / depth) from the first slice on


def animal(rng: np.random.Generator, near: Style | None = None) -> Style:
    """Draws the style of one animal: near the default or a given one, and unlike any other."""
    style = near or Style()
    drawn = {name: getattr(style, name) * rng.uniform(*span) for name, span in _SPANS.items()}
    return replace(style, trees=int(rng.integers(2, 5)), **drawn)


_SPANS = {  # factors on the default; what moves the share of vessels moves little
    "mesh_um": (0.92, 1.08),
    "share": (0.88, 1.12),
    "trunk": (0.8, 1.2),
    "tortuosity": (0.7, 1.5),
    "staining": (0.8, 1.2),
    "faint": (0.5, 1.5),
    "hollow": (0.5, 1.5),
    "signal": (0.9, 1.15),
    "tissue": (0.9, 1.1),
    "texture": (0.9, 1.1),
    "cells": (0.5, 1.5),
    "haze": (0.6, 1.4),
    "blur_um": (0.88, 1.12),
    "shading": (0.85, 1.15),
    "stripes": (0.5, 1.5),
    "read_noise": (0.8, 1.2),
}
