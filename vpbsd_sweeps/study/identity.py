"""What makes a study this study: the fingerprint of its data, and how two identities differ."""

from __future__ import annotations

from vpbsd.config import canonical, digest
from vpbsd.data.volumes import VolumeInfo


def data_fingerprint(volumes: tuple[VolumeInfo, ...]) -> str:
    """One fingerprint for a data set, whatever its folder and file names."""
    return digest(sorted(volume.fingerprint for volume in volumes))


def first_difference(ours: object, theirs: object, path: str = "") -> str | None:
    """The first field in which two plain values differ, as ``path: theirs -> ours``."""
    if canonical(ours) == canonical(theirs):
        return None
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in sorted({*ours, *theirs}):
            inner = first_difference(ours.get(name), theirs.get(name), f"{path}.{name}")
            if inner:
                return inner
    return f"{path.lstrip('.')}: {canonical(theirs)} before, {canonical(ours)} now"
