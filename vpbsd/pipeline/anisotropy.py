"""How often a student halves z, planned from the voxel sizes of the volumes it trains on."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import cache
from math import log2, sqrt
from statistics import median

from vpbsd.data.folds import Part
from vpbsd.overrides import override
from vpbsd.settings import Settings

HALVINGS = 5


def planned(s: Settings, trained_on: Iterable[Part]) -> Settings:
    """Replaces `student.network.z_halvings=auto` by a number; other settings stay as they are."""
    if s.student.network.z_halvings != "auto":
        return s
    spacings = tuple(part.volume.spacing_um for part in trained_on)
    return override(s, {"student.network.z_halvings": z_halvings(spacings)})


@cache  # a plan asks for every trial, and says so once
def z_halvings(spacings: tuple[tuple[float, float, float] | None, ...]) -> int:
    """Plans how many of the five halvings shorten z: the first ones wait for cubic voxels.

    Args:
        spacings: voxel sizes (z, y, x) in micrometres; None where not known.

    Returns:
        5 - log2(r), rounded, in 0..5, with r the median ratio of slice distance to pixel size.

    >>> z_halvings(((5.0, 1.0, 1.0),)), z_halvings(((3.0, 1.625, 1.625),))
    (3, 4)
    """
    ratios = [z / sqrt(y * x) for z, y, x in (known for known in spacings if known)]
    if not ratios:
        print(
            "no voxel size is known, so z is halved as x and y are: "
            "state --spacing when you import, or set student.network.z_halvings",
            file=sys.stderr,
        )
        return HALVINGS
    fewer = round(log2(median(ratios)))
    return HALVINGS - min(max(fewer, 0), HALVINGS)
