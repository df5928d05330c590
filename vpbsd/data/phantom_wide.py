"""The wide phantom: animals that differ as much as laboratories do, and vessels of many sizes.

Made to have room between one labelled animal and many. Its spans were fixed on 2026-11-25, before
any score of VpbSD on it was looked at, and are not to be moved to please a method.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from vpbsd.data.phantom import PhantomVolume, phantom
from vpbsd.data.phantom_style import Shape, Style, animal

GROUPS = 15
"""Animals of the set: all labelled, so that the protocol decides who keeps a label."""
SEED = 0
"""Of the set: the first one, not one that was chosen."""

VESSELS = Style(share=0.065, bed=1.0, trunk=5.0, capillary_um=(1.9, 3.5))
"""The present style with vessels of many sizes: capillaries of 1.2 to 2.2 voxels in plane, which
fill less of the volume than today's, and arterioles of up to six times their radius."""


@dataclass(frozen=True)
class Span:
    """Bounds a factor on a value of the present style, even by its logarithm or by itself."""

    low: float
    high: float
    log: bool = True

    def draw(self, rng: np.random.Generator) -> float:
        """Draws one factor."""
        if self.log:
            return math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return float(rng.uniform(self.low, self.high))


SPANS = {
    "signal": Span(0.55, 1.6),
    "tissue": Span(0.6, 1.7),
    "read_noise": Span(0.4, 1.8),
    "haze": Span(0.3, 3.0),
    "share": Span(0.6, 1.4),
    "mesh_um": Span(0.8, 1.3),
    "blur_um": Span(0.75, 1.5),
    "staining": Span(0.6, 2.0),
    "cells": Span(0.0, 3.0, log=False),
    "stripes": Span(0.0, 3.0, log=False),
}
"""Factors on the present style, one of each per animal; what is not here varies as it did."""

ATTENUATION = Span(0.0, 1.5, log=False)
"""d of exp(-d z / depth): not a factor, for today's animals have none."""


def wide_animal(rng: np.random.Generator) -> Style:
    """Draws the style of one animal of the wide phantom."""
    style = animal(rng, VESSELS)
    drawn = {name: getattr(VESSELS, name) * span.draw(rng) for name, span in SPANS.items()}
    return replace(style, attenuation=ATTENUATION.draw(rng), **drawn)


def wide_volumes(
    seed: int = SEED, shape: Shape = (40, 96, 96), groups: int = GROUPS
) -> Iterator[PhantomVolume]:
    """Yields a data set: one labelled volume (z, y, x) of each of so many animals."""
    for number in range(groups):
        rng = np.random.Generator(np.random.PCG64([seed, number]))
        style = wide_animal(rng)
        image, label = phantom(int(rng.integers(2**63)), shape, style)
        group = f"animal{number:02d}"
        yield PhantomVolume(f"wide_{group}", group, image, label)
