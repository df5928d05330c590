"""What makes a data set this data set, wherever it lies."""

from __future__ import annotations

from vpbsd.data.volumes import VolumeInfo
from vpbsd.section import digest


def data_fingerprint(volumes: tuple[VolumeInfo, ...]) -> str:
    """Returns one fingerprint for a data set, whatever its folder and file names."""
    return digest(sorted(volume.fingerprint for volume in volumes))
