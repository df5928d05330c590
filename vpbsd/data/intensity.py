"""Exact percentiles of volumes of any size, and the clip that makes intensities comparable.

Integers of up to 16 bits are counted value by value, so every percentile is exact. Other types
have too many values for that: a few percentiles are tabulated, exactly, when a volume is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpbsd.errors import BadInput

TABULATED = (0.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9, 100.0)
DIGIT = 16  # bits that one pass over a volume settles
PIECE = 1 << 20  # voxels counted at a time: bincount makes 8 bytes of each

Blocks = Callable[[], Iterable[NDArray[Any]]]


def countable(dtype: np.dtype[Any]) -> bool:
    """Tells whether every value of a type can be counted on its own: integers up to 16 bits.

    >>> [countable(np.dtype(name)) for name in ("uint8", "int16", "uint32", "float32")]
    [True, True, False, False]
    """
    return dtype.kind in "ui" and dtype.itemsize <= 2


@dataclass(frozen=True)
class Histogram:
    """How often each value occurs in a volume; exact for every percentile.

    Attributes:
        values: The values that occur, ascending, shape (k,).
        counts: Voxels of each value, shape (k,), all positive.
    """

    values: NDArray[np.int64]
    counts: NDArray[np.int64]

    def percentile(self, percentile: float) -> float:
        """Computes ``numpy.percentile(voxels, percentile, method="linear")``, to the bit.

        Args:
            percentile: 0 to 100.

        >>> Histogram(np.array([3, 7]), np.array([3, 1])).percentile(75)
        4.0
        """
        reached = np.cumsum(self.counts)
        below, above, share = _position(int(reached[-1]), percentile)
        low, high = self.values[np.searchsorted(reached, (below, above), side="right")]
        return _between(float(low), float(high), share)


@dataclass(frozen=True)
class Table:
    """The percentiles that were tabulated at import, for types with too many values to count."""

    percentiles: Mapping[float, float]

    def percentile(self, percentile: float) -> float:
        """Looks the tabulated value up.

        Raises:
            BadInput: Another percentile is asked for.
        """
        if percentile not in self.percentiles:
            offered = ", ".join(f"{p:g}" for p in self.percentiles)
            raise BadInput(
                f"percentile {percentile:g} is not stored: choose one of {offered}, "
                "or import the volume as 8- or 16-bit integers"
            )
        return self.percentiles[percentile]


class Counter:
    """Counts the values of a volume that arrives block by block.

    Args:
        dtype: A countable type.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._lowest = int(np.iinfo(dtype).min)
        self._counts = np.zeros(1 << 8 * dtype.itemsize, np.int64)

    def add(self, block: NDArray[Any]) -> None:
        """Counts the voxels of a block of any shape."""
        keys = ordered_keys(block).ravel()
        for start in range(0, keys.size, PIECE):
            piece = keys[start : start + PIECE]
            self._counts += np.bincount(piece, minlength=self._counts.size)

    def histogram(self) -> Histogram:
        """Returns what was counted so far."""
        found = np.flatnonzero(self._counts)
        return Histogram(found + self._lowest, self._counts[found])


def tabulate(blocks: Blocks, dtype: np.dtype[Any], voxels: int) -> Table:
    """Computes exact percentiles of a volume whose values are too many to count.

    Args:
        blocks: Starts one more pass over all voxels, in blocks of any shape.
        dtype: Their type; a pass is made per 16 bits of it.
        voxels: How many there are.

    Returns:
        The percentiles of ``TABULATED``, as numpy gives them for the voxels in float64.
    """
    places = {p: _position(voxels, p) for p in TABULATED}
    ranks = sorted({rank for below, above, _ in places.values() for rank in (below, above)})
    values = dict(zip(ranks, order_statistics(blocks, dtype, ranks), strict=True))
    return Table({p: _between(values[a], values[b], share) for p, (a, b, share) in places.items()})


def order_statistics(blocks: Blocks, dtype: np.dtype[Any], ranks: list[int]) -> list[float]:
    """Finds the values at some ranks (0 = smallest) of the sorted voxels, without sorting them.

    A radix selection: each pass counts the next 16 bits of the keys that begin like a wanted one,
    so the memory is 64K counts per rank, whatever the volume's size.

    >>> voxels = np.array([0.5, -2.0, 8.0], np.float32)
    >>> order_statistics(lambda: [voxels], voxels.dtype, [0, 2])
    [-2.0, 8.0]
    """
    begins, rest = [0] * len(ranks), list(ranks)
    for shift in range(8 * dtype.itemsize - DIGIT, -1, -DIGIT):
        counts = _count_digits(blocks(), set(begins), shift)
        for i, begin in enumerate(begins):
            reached = np.cumsum(counts[begin])
            digit = int(np.searchsorted(reached, rest[i], side="right"))
            rest[i] -= int(reached[digit - 1]) if digit else 0
            begins[i] = begin << DIGIT | digit
    return [float(v) for v in _from_keys(np.array(begins, f"u{dtype.itemsize}"), dtype)]


def normalise(block: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """Clips intensities at ``high``, then maps low..high to 0..1 (VpbSD, section 4.1.1).

    Args:
        block: Intensities of any shape.
        low: The volume's minimum.
        high: A percentile of the volume, the 95th in the paper.

    Returns:
        float32 in [0, 1], same shape; zeros where ``low == high``.

    >>> normalise(np.array([100, 150, 300], np.uint16), 100, 200).tolist()
    [0.0, 0.5, 1.0]
    """
    work = np.float32 if block.dtype.itemsize <= 2 else np.float64  # exact for the stored values
    bottom, top = work(low), work(high)
    if not bottom < top:
        return np.zeros(block.shape, np.float32)
    shifted = np.clip(block.astype(work), bottom, top) - bottom
    return np.asarray(shifted / (top - bottom), np.float32)


def ordered_keys(block: NDArray[Any]) -> NDArray[Any]:
    """Maps values to unsigned integers of the same width that sort as they do; -0.0 is 0.0.

    >>> ordered_keys(np.array([-1, 0, 1], np.int8)).tolist()
    [127, 128, 129]
    """
    kind, width = block.dtype.kind, block.dtype.itemsize
    sign = np.array(1 << 8 * width - 1, f"u{width}")
    if kind == "u":
        return block
    if kind == "i":
        return np.asarray(np.ascontiguousarray(block).view(f"u{width}") ^ sign)
    # IEEE floats sort as integers but for the sign: negative ones run backwards and lie below.
    bits = np.ascontiguousarray(block + block.dtype.type(0)).view(f"u{width}")
    return np.where(bits & sign, ~bits, bits | sign)


def _from_keys(keys: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    sign = np.array(1 << 8 * dtype.itemsize - 1, keys.dtype)
    if dtype.kind == "u":
        return keys
    if dtype.kind == "i":
        return np.asarray(keys ^ sign).view(dtype)
    return np.where(keys & sign, keys ^ sign, ~keys).view(dtype)


def _count_digits(
    blocks: Iterable[NDArray[Any]], begins: set[int], shift: int
) -> dict[int, NDArray[np.int64]]:
    counts = {begin: np.zeros(1 << DIGIT, np.int64) for begin in begins}
    for block in blocks:
        keys = ordered_keys(block).ravel() >> shift
        digits, heads = keys & ((1 << DIGIT) - 1), keys >> DIGIT
        for begin, found in counts.items():
            found += np.bincount(digits[heads == begin].astype(np.int64), minlength=1 << DIGIT)
    return counts


def _position(voxels: int, percentile: float) -> tuple[int, int, float]:
    """Finds the ranks below and above a percentile, and its share of the way between them."""
    if not 0 <= percentile <= 100:
        raise BadInput(f"percentile {percentile:g} is outside 0 to 100")
    place = (voxels - 1) * (percentile / 100)
    below = floor(place)
    return below, min(below + 1, voxels - 1), place - below


def _between(low: float, high: float, share: float) -> float:
    """Interpolates linearly from the nearer end, as numpy rounds it."""
    step = high - low
    return low + step * share if share < 0.5 else high - step * (1 - share)
