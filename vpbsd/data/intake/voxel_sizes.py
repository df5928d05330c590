"""Voxel sizes that files state: their units, and when they cannot be meant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from vpbsd.data.volumes import Spacing

UM = {"nm": 1e-3, "nanometer": 1e-3, "mm": 1e3, "millimeter": 1e3, "cm": 1e4, "m": 1e6, "Å": 1e-4}
UM |= {"meter": 1e6, "inch": 25_400.0, "centimeter": 1e4, "nanometers": 1e-3, "millimeters": 1e3}
UM |= dict.fromkeys(("um", "µm", "μm", "\\u00B5m", "micron", "microns"), 1.0)
UM |= dict.fromkeys(("micrometer", "micrometers", "micrometre"), 1.0)
"""Micrometres in one unit."""

SMALLEST, LARGEST = 0.02, 200.0
"""Sides of voxels, in micrometres, that microscopy of vessels can have: from expanded tissue to
whole-body scans. Who has others, states them."""
SHORTEST, LONGEST = 3.0, 1e6  # um: a capillary is no thinner, no specimen is a metre long
FLATTEST = 100.0  # a voxel's longest side over its shortest


def positive(sizes: Iterable[Any]) -> Spacing | None:
    """Rounds sizes to the six digits that float32 headers hold; None unless all are positive.

    >>> positive([3, 1.6000000238, 1.6000000238]), positive([0, 1, 1])
    ((3.0, 1.6, 1.6), None)
    """
    rounded = [float(f"{float(size):.6g}") for size in sizes]
    if len(rounded) != 3 or not all(0 < size < np.inf for size in rounded):
        return None
    z, y, x = rounded
    return z, y, x


def doubt(spacing: Spacing | None, shape: tuple[int, ...]) -> str:
    """Says why a stated voxel size cannot be meant; nothing where it can.

    >>> doubt((3000.0, 1600.0, 1600.0), (24, 24, 24))[:45]
    'states voxels of 3000 x 1600 x 1600 um, so 72'
    """
    if spacing is None:
        return ""
    sides = " x ".join(f"{side:g}" for side in spacing)
    reach = " x ".join(f"{side * n / 1000:.4g}" for side, n in zip(spacing, shape, strict=True))
    longest = max(side * n for side, n in zip(spacing, shape, strict=True))
    sized = min(spacing) >= SMALLEST and max(spacing) <= LARGEST
    if not sized or not SHORTEST <= longest <= LONGEST:
        return f"states voxels of {sides} um, so {reach} mm in all: its unit is not what it says"
    if max(spacing) > FLATTEST * min(spacing):
        return f"states voxels of {sides} um: its sides are not in one unit"
    return ""
