"""What makes a data set this data set, wherever it lies; and what a study's identity says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vpbsd.data.volumes import VolumeInfo
from vpbsd.protocol import Protocol
from vpbsd.section import digest


def data_fingerprint(volumes: tuple[VolumeInfo, ...]) -> str:
    """Returns one fingerprint for a data set, whatever its folder and file names."""
    return digest(sorted(volume.fingerprint for volume in volumes))


def protocol_of(identity: Mapping[str, Any]) -> Protocol:
    """Reads from a study's identity who was tested on whom."""
    return Protocol.model_validate(identity["settings"]["protocol"])


def counted_folds(identity: Mapping[str, Any]) -> str:
    """Counts a study's folds in words: 5 folds; a named split is 1 fold."""
    count = protocol_of(identity).count
    return f"{count} fold{'s' * (count > 1)}"
