"""Patches of different volumes that lie at corresponding places, as far as a lattice has them."""

from __future__ import annotations

import numpy as np

from vpbsd.data.folds import Part
from vpbsd.data.lattice import PatchSet
from vpbsd.random_streams import permutation


def volumes_in(parts: tuple[Part, ...]) -> int:
    """Counts the volumes that some parts are of."""
    return len({part.volume.fingerprint for part in parts})


def corresponding(patches: PatchSet, anchor: int, count: int, seed: int, step: int) -> list[int]:
    """Chooses patches of other volumes, each the nearest to an anchor's relative place.

    Args:
        patches: All that there are.
        anchor: Number of the patch that the others are to correspond to.
        count: Patches wanted, the anchor included; fewer where there are fewer volumes.
        seed: Of the stage.
        step: Each step draws other volumes.

    Returns:
        Numbers of patches, the anchor first, no two of one volume.
    """
    places = np.array([_centre(patches, i) for i in range(len(patches))])
    of = [patches.parts[cell.part].volume.fingerprint for cell in patches.cells]
    others = sorted(set(of) - {of[anchor]})
    order = permutation(seed, "corresponding volumes", step, len(others))[: count - 1]
    away = np.abs(places - places[anchor]).sum(1)
    own = [[i for i, name in enumerate(of) if name == others[k]] for k in order]
    return [anchor, *(min(choice, key=lambda i: away[i]) for choice in own)]


def _centre(patches: PatchSet, i: int) -> list[float]:
    """Finds the middle of a patch, as shares of its part's sides, which it may stand out of."""
    cell = patches.cells[i]
    sides = patches.parts[cell.part].shape
    return [(s + p / 2) / n for s, p, n in zip(cell.start, patches.data.patch, sides, strict=True)]
