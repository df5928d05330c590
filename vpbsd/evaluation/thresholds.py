"""One grey threshold for all volumes, as strong as it can be without the label of the test.

Every volume is first brought to a scale of its own. Which scale and which threshold: those with
the best mean Dice on the training groups. Otsu's threshold needs no label at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpbsd.data.folds import Part
from vpbsd.data.intensity import normalise
from vpbsd.data.volumes import VolumeInfo, open_volume
from vpbsd.errors import BadInput
from vpbsd.evaluation.evaluate import read_raw, read_truth

RAW = 0.0
SCALES = (RAW, 95.0, 99.0, 99.5, 99.9)
"""Raw intensities, and percentiles that images are clipped and scaled at; all tabulated."""
CANDIDATES = 1 << 16
"""Thresholds that are tried: each vessel intensity; where there are more, evenly among them."""


@dataclass(frozen=True)
class Shades:
    """How often each intensity occurs in a part.

    Attributes:
        values: Distinct intensities, ascending, shape (k,).
        counts: Voxels of each, shape (k,).
        vessel: Vessel voxels of each, shape (k,).
    """

    values: NDArray[np.generic]
    counts: NDArray[np.int64]
    vessel: NDArray[np.int64]


@dataclass(frozen=True)
class Choice:
    """A threshold of all volumes: vessels are where the scaled image reaches it.

    Attributes:
        scale: A percentile of the volume, mapped to 1; 0: raw intensities.
        threshold: In units of that scale.
        dsc: Mean Dice over the training groups.
    """

    scale: float
    threshold: float
    dsc: float


def choose_threshold(labelled: Sequence[Part], scales: Iterable[float] = SCALES) -> Choice:
    """Chooses scale and threshold by the mean Dice over groups, volumes averaged within each.

    Args:
        labelled: The parts that train; no other label is read.
        scales: To choose from; among equal ones the first wins.

    Raises:
        BadInput: None of the parts holds a vessel.
    """
    shades = [count_shades(read_raw(part), read_truth(part)) for part in labelled]
    if not any(shade.vessel.any() for shade in shades):
        raise BadInput("no training part holds a vessel to choose a threshold by: label some")
    groups = [part.volume.group for part in labelled]
    choices = []
    for scale in scales:
        scaled = [
            Shades(to_scale(part, shade.values, scale), shade.counts, shade.vessel)
            for part, shade in zip(labelled, shades, strict=True)
        ]
        choices.append(Choice(scale, *best_common(scaled, groups)))
    return max(choices, key=lambda choice: choice.dsc)


def usable_scales(parts: Iterable[Part]) -> tuple[float, ...]:
    """Lists the scales that leave every volume some contrast; reads no label."""
    volumes = {part.volume for part in parts}
    return tuple(s for s in SCALES if s == RAW or all(_clips(v, s) for v in volumes))


def to_scale(part: Part, values: NDArray[np.generic], scale: float) -> NDArray[np.generic]:
    """Brings intensities of a part to a scale of its volume."""
    if scale == RAW:
        return values
    return normalise(values, *open_volume(part.volume).limits(scale))


def count_shades(image: NDArray[np.generic], truth: NDArray[np.bool_]) -> Shades:
    """Counts voxels, and those of vessels, by intensity.

    >>> shades = count_shades(np.array([5, 1, 5]), np.array([True, False, False]))
    >>> shades.values.tolist(), shades.counts.tolist(), shades.vessel.tolist()
    ([1, 5], [1, 2], [0, 1])
    """
    values, counts = np.unique(image, return_counts=True)
    within, vessel = np.unique(image[truth], return_counts=True)
    spread = np.zeros_like(counts)
    spread[np.searchsorted(values, within)] = vessel
    return Shades(values, counts, spread)


def best_common(shades: Sequence[Shades], groups: Sequence[str]) -> tuple[float, float]:
    """Finds the one threshold of the best mean Dice over groups, and that mean.

    Only intensities of vessels need be tried: between two of them a higher threshold only loses
    false positives. Among equal ones the lowest wins.

    Args:
        shades: Of each part, on a common scale.
        groups: Of each part.
    """
    candidates = np.unique(np.concatenate([s.values[s.vessel > 0] for s in shades]))
    if candidates.size > CANDIDATES:
        candidates = candidates[np.linspace(0, candidates.size - 1, CANDIDATES).astype(int)]
    by_group: defaultdict[str, list[NDArray[np.float64]]] = defaultdict(list)
    for shade, group in zip(shades, groups, strict=True):
        by_group[group].append(_dice_from(shade, candidates))
    means = np.mean([np.mean(dice, axis=0) for dice in by_group.values()], axis=0)
    best = int(np.argmax(means))
    return float(candidates[best]), float(means[best])


def otsu(image: NDArray[np.generic]) -> float:
    """Computes Otsu's threshold: where the variance between the two classes is largest.

    N. Otsu, IEEE Trans. SMC 9 (1979), over every distinct intensity.

    Returns:
        The least intensity of the upper class, infinite where all voxels are equal.

    >>> otsu(np.array([1, 2, 1, 8, 9, 9]))
    8.0
    """
    values, counts = np.unique(image, return_counts=True)
    if values.size < 2:
        return np.inf
    grey, voxels = values.astype(np.float64), np.cumsum(counts)[:-1]
    total, below = counts @ grey, np.cumsum(counts * grey)[:-1]
    above = image.size - voxels
    between = voxels * above * (below / voxels - (total - below) / above) ** 2
    return float(grey[1:][np.argmax(between)])


def _dice_from(shade: Shades, candidates: NDArray[np.generic]) -> NDArray[np.float64]:
    """Computes the Dice of every threshold; an empty mask of an empty label is perfect."""
    first = np.searchsorted(shade.values, candidates)
    hits, marked = (_from_above(n)[first] for n in (shade.vessel, shade.counts))
    voxels = marked + shade.vessel.sum()
    return np.where(voxels > 0, 2 * hits / np.maximum(voxels, 1), 1.0)


def _from_above(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums counts from each place to the end; 0 beyond it."""
    return np.append(np.cumsum(counts[::-1])[::-1], 0)


def _clips(volume: VolumeInfo, percentile: float) -> bool:
    try:
        open_volume(volume).limits(percentile)
    except BadInput:
        return False
    return True
