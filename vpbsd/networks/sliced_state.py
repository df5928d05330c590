"""Which state of an encoder has enough slices to compare slabs by."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def level_of(sides: Sequence[int], slabs: int) -> int:
    """Finds the Swin state that has a slice for every slab: the coarsest, but at most 1/16.

    Args:
        sides: of a patch in voxels, those that are cut into slabs.
        slabs: P.

    Returns:
        Its place among the hidden states: 3 for 1/16 of the resolution, 0 for 1/2; 0 too where
        none has so many slices.

    >>> level_of((64, 64, 64), 4), level_of((32, 64, 64), 4), level_of((64, 64, 64), 8)
    (3, 2, 2)
    """
    return next((n for n in (3, 2, 1) if min(sides) >> (n + 1) >= slabs), 0)


def sliced_state(hidden: Sequence[Tensor], slabs: int) -> Tensor:
    """Picks the state whose slices are compared.

    Args:
        hidden: Swin's five states, or the one of a plain transformer, which has no choice: axes on
            which it has fewer slices than slabs are then left out.
        slabs: P.
    """
    if len(hidden) == 1:
        return hidden[0]
    return hidden[level_of([2 * n for n in hidden[0].shape[2:]], slabs)]
