"""What folds are made of: boxes of volumes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from vpbsd.data.volumes import Slices, VolumeInfo

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


class Part(NamedTuple):
    """A box (start, stop per axis z, y, x) of a volume."""

    volume: VolumeInfo
    box: Box

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels per axis (z, y, x)."""
        (a, b), (c, d), (e, f) = self.box
        return b - a, d - c, f - e

    @property
    def slices(self) -> Slices:
        """Where it lies in its volume."""
        (a, b), (c, d), (e, f) = self.box
        return slice(a, b), slice(c, d), slice(e, f)

    @property
    def identity(self) -> str:
        """What a stage key knows of it: content and place, never a path or a name."""
        return f"{self.volume.fingerprint}:{self.box}"


@dataclass(frozen=True)
class Fold:
    """One split. No group of `test` is in `train` or `unlabelled` when folds go by group.

    The label of a part of `unlabelled` that `Protocol.train_groups` took away cannot be read.
    `untested` are parts whose label marks no voxel: a DSC says nothing there, and it is
    likely that nobody annotated them.
    """

    index: int
    train: tuple[Part, ...]
    test: tuple[Part, ...]
    unlabelled: tuple[Part, ...]
    untested: tuple[Part, ...] = ()


def whole_volume(volume: VolumeInfo) -> Part:
    """Makes the part that is all of a volume."""
    z, y, x = volume.shape
    return Part(volume, ((0, z), (0, y), (0, x)))
