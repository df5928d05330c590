"""Statistics of code words, and the verdict on them; without torch, so that reports can ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

SAME_MASK = 0.95
"""Dice of masks with own and with others' codes from which on codes do not change the mask."""


def verdict(numbers: Mapping[str, float]) -> str | None:
    """Says what code words of these numbers fail to carry, or None if they pass.

    A number that could not be measured fails nothing.

    >>> verdict({"swapped_dice": 0.9, "r2_vessel_share": 0.3})
    >>> verdict({"swapped_dice": 0.999, "r2_vessel_share": -0.02})
    "codes do not change the mask (Dice 0.999 with another patch's), say nothing of vessels \
(R^2 -0.02)"
    """
    fails = []
    swapped, r2 = numbers.get("swapped_dice", 0.0), numbers.get("r2_vessel_share", 1.0)
    if swapped >= SAME_MASK:
        fails.append(f"do not change the mask (Dice {swapped:.3f} with another patch's)")
    if r2 <= 0:
        fails.append(f"say nothing of vessels (R^2 {r2:.2f})")
    if "mse_codes" in numbers and numbers["mse_codes"] >= numbers["mse_cell_mean"]:
        fails.append(
            f"rebuild the image no better than its cells' means (MSE {numbers['mse_codes']:.4f} "
            f"and {numbers['mse_cell_mean']:.4f})"
        )
    return "codes " + ", ".join(fails) if fails else None


def held_out_r2(
    values: NDArray[np.float64],
    codes: NDArray[np.int64],
    units: NDArray[np.int64],
    kin: NDArray[np.bool_],
) -> float:
    """Computes R^2 = 1 - SS_res / SS_tot of predicting a token's value from its code.

    A token is predicted by the mean of the tokens with its code in units that are no kin of its
    own, and of the mean of all tokens as one more: a code seen once or twice says little, and one
    never seen elsewhere nothing. In sample any code explains something; here one that says nothing
    has an R^2 under 0.

    Args:
        values: (T,), what is predicted.
        codes: (T,), code of each token.
        units: (T,), number of the patch of each token, under U.
        kin: (U, U), whose tokens must not predict each other's; a unit is its own kin.

    Returns:
        At most 1; 0 where all values are equal, so that there is nothing to explain.

    >>> held_out_r2(np.array([0.0, 0, 1, 1]), np.array([5, 5, 7, 7]), np.arange(4), np.eye(4) > 0)
    0.75
    """
    total = float(np.square(values - values.mean()).sum()) if len(values) else 0.0
    if total == 0:
        return 0.0
    _, code = np.unique(codes, return_inverse=True)
    sums, counts = np.zeros((2, code.max() + 1, len(kin)))
    np.add.at(sums, (code, units), values)
    np.add.at(counts, (code, units), 1)
    left, others = (per.sum(1, keepdims=True) - per @ kin for per in (sums, counts))
    predicted = ((left + values.mean()) / (others + 1))[code, units]
    return 1 - float(np.square(values - predicted).sum()) / total


def donors(kin: NDArray[np.bool_], most: int) -> list[list[int]]:
    """Lists for each of some patches others whose codes it can be given, none of them its kin.

    Args:
        kin: (U, U), which patches overlap; each is its own kin.
        most: Donors wanted of each; all get as many as the one with the fewest.

    >>> donors(np.eye(3) > 0, 5)
    [[1, 2], [2, 0], [0, 1]]
    >>> donors(np.eye(1) > 0, 5)
    [[]]
    """
    n = len(kin)
    found = [[j % n for j in range(i + 1, i + n) if not kin[i, j % n]] for i in range(n)]
    fewest = min(most, *map(len, found)) if found else 0
    return [others[:fewest] for others in found]


def dice(shared: float, sizes: Sequence[float]) -> float:
    """Computes Dice from the voxels that two masks share and the size of each; 1 of empty ones.

    >>> dice(1, (2, 2)), dice(0, (0, 0))
    (0.5, 1.0)
    """
    return 2 * shared / sum(sizes) if sum(sizes) else 1.0
