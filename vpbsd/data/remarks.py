"""What is worth knowing of a data set and its folds before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np

from vpbsd.data.fold_checks import place
from vpbsd.data.parts import Fold
from vpbsd.data.same_tissue import same_tissue
from vpbsd.data.volumes import VolumeInfo, label_profile

BARE = 0.25
"""Share of a side without any class, at one of its ends, that asks whether it was annotated."""
BARE_DEPTH = 0.5
"""The same along z, where tissue often ends before the stack does."""
SPARSE = 0.5
"""Share of slices with a label, between the first and the last, that asks the same."""
SHOWN = 4
"""Lines of one kind that are shown; more are counted."""
FEW_GROUPS = 6
"""Groups below which no paired test can give a p-value under .05: 2 of 2^5 sign changes."""


def remarks(
    volumes: Sequence[VolumeInfo], folds: Sequence[Fold], patch: Sequence[int]
) -> Iterator[str]:
    """Yields a line per thing to know; what no sweep could do is refused elsewhere.

    Args:
        volumes: The data set.
        folds: Its folds.
        patch: Voxels z, y, x that networks are trained on.
    """
    if len({v.spacing_um for v in volumes}) > 1:
        yield "note: the volumes have different voxel sizes, and a sweep does not resample them"
    for found in (_thin(volumes, patch), _full(volumes), _empty(volumes), _bare(volumes)):
        yield from _few(list(found))
    yield from _few([f"note: {line}" for line in same_tissue(volumes)])
    yield from _stains(volumes)
    hidden = any(not p.volume.labelled for fold in folds for p in fold.unlabelled)
    if all(v.labelled for v in volumes) and not hidden:
        yield "note: no volume is without label: pre-training and L_semi read training images only"
    groups = {v.group for v in volumes if v.labelled}
    if len(groups) < FEW_GROUPS:
        least = 2.0 ** (1 - len(groups))
        yield (
            f"note: {len(groups)} labelled groups: no paired test over groups can give a p-value "
            f"below {least:.2g}"
        )
    for fold in folds:
        for part in fold.untested:
            yield f"note: fold {fold.index} does not test {place(part)}: it has no labelled voxel"


def _few(lines: Sequence[str]) -> Iterator[str]:
    """Yields lines of one kind, only the first of many."""
    yield from lines[:SHOWN]
    if len(lines) > SHOWN:
        yield f"note: the like holds {len(lines) - SHOWN} times more"


def _thin(volumes: Sequence[VolumeInfo], patch: Sequence[int]) -> Iterator[str]:
    for volume in volumes:
        if any(n < p for n, p in zip(volume.shape, patch, strict=True)):
            yield (
                f"note: {volume.name} ({_sides(volume.shape)} voxels) is thinner than a patch "
                f"({_sides(patch)}) and will be padded by reflection"
            )


def _sides(voxels: Sequence[int]) -> str:
    return " x ".join(map(str, voxels))


def _full(volumes: Sequence[VolumeInfo]) -> Iterator[str]:
    for volume in volumes:
        if volume.label_voxels and volume.label_voxels > prod(volume.shape) / 2:
            named = " and ".join(volume.classes)
            yield f"note: more than half of {volume.name} is labelled as {named}"


def _empty(volumes: Sequence[VolumeInfo]) -> Iterator[str]:
    for volume in volumes:
        if volume.label_voxels == 0:
            yield f"note: the label of {volume.name} is empty: annotated as empty, or not at all?"


def _stains(volumes: Sequence[VolumeInfo]) -> Iterator[str]:
    stains = sorted({v.channel or "not stated" for v in volumes})
    if len(stains) > 1:
        yield (
            f"note: the volumes are of {len(stains)} stains ({', '.join(stains)}): a network sees "
            "one at a time and is trained on all of them"
        )


def _bare(volumes: Sequence[VolumeInfo]) -> Iterator[str]:
    for volume in volumes:
        if volume.label_voxels:
            for axis in range(3):
                yield from _bare_planes(volume, axis)


def _bare_planes(volume: VolumeInfo, axis: int) -> Iterator[str]:
    """Yields a line where a label keeps to a part of a volume, or to some of its slices."""
    profile = label_profile(volume, axis)
    if profile is None:
        return
    found = np.flatnonzero(profile)
    first, last, n = int(found[0]), int(found[-1]) + 1, len(profile)
    if axis == 0 and len(found) <= (last - first) * SPARSE:
        yield (
            f"note: of the slices {first} to {last} of {volume.name} {len(found)} have a label: "
            "if only those are annotated, the others count as background all the same"
        )
    if max(first, n - last) >= (BARE if axis else BARE_DEPTH) * n:
        yield (
            f"note: the label of {volume.name} lies between {'zyx'[axis]} {first} and {last} of "
            f"{n}: if the rest is not annotated, crop it, for it counts as background"
        )
