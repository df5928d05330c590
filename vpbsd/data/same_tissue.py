"""What says that volumes are of one tissue: the same voxels, the same label, names of pieces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence

from vpbsd.data.intake.groups import group_of_name
from vpbsd.data.volumes import VolumeInfo, label_profile

SURE = 100
"""Labelled voxels from which two labels are not the same by chance."""
Volumes = Sequence[VolumeInfo]


def same_tissue(volumes: Volumes) -> Iterator[str]:
    """Yields a line for volumes that look like one tissue, where that may be unknown.

    A pair is named once, by its strongest sign. Names alone are doubted only where groups differ.
    """
    told: set[frozenset[str]] = set()

    def new(found: Iterator[Volumes]) -> Iterator[Volumes]:
        for some in found:
            pairs = {frozenset((a.name, b.name)) for a in some for b in some if a is not b}
            if not pairs <= told:
                told.update(pairs)
                yield some

    for same in new(_voxels(volumes)):
        apart = len({v.group for v in same}) > 1
        where = "under different groups" if apart else "and count as several"
        yield f"{_names(same)} hold the same voxels {where}"
    for same in new(_labels(volumes)):
        if len({v.group for v in same}) > 1:
            yield (
                f"{_names(same)} have the same label but are of the groups {_groups(same)}: are "
                "they one tissue? Folds may train on one and test on another"
            )
    for same in new(_names_of_pieces(volumes)):
        yield (
            f"{_names(same)} are by their names pieces of one tissue but are of the groups "
            f"{_groups(same)}: folds may train on one and test on another"
        )


def _voxels(volumes: Volumes) -> Iterator[Volumes]:
    yield from _alike([(v.content, v) for v in volumes if v.content is not None])


def _labels(volumes: Volumes) -> Iterator[Volumes]:
    """Finds labels that mark as many voxels in each plane of all three directions."""
    sure = [v for v in volumes if (v.label_voxels or 0) >= SURE]
    for same in _alike([((v.shape, v.label_voxels), v) for v in sure]):
        profiles = ([label_profile(v, axis) for axis in range(3)] for v in same)
        keys = (tuple(p.tobytes() for p in some if p is not None) for some in profiles)
        yield from _alike([(key, v) for key, v in zip(keys, same, strict=True) if key])


def _names_of_pieces(volumes: Volumes) -> Iterator[Volumes]:
    for same in _alike([(group_of_name(v.name), v) for v in volumes]):
        if len({v.group for v in same}) > 1:
            yield same


def _alike(keyed: Sequence[tuple[Hashable, VolumeInfo]]) -> Iterator[Volumes]:
    """Yields volumes that share a key, where several do."""
    found: defaultdict[Hashable, list[VolumeInfo]] = defaultdict(list)
    for key, volume in keyed:
        found[key].append(volume)
    yield from (same for same in found.values() if len(same) > 1)


def _names(volumes: Volumes) -> str:
    return " and ".join(v.name for v in volumes)


def _groups(volumes: Volumes) -> str:
    return " and ".join(dict.fromkeys(v.group for v in volumes))
