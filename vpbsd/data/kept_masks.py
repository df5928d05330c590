"""Where masks that other tools made of a data set are kept: beside its volumes, by content."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from vpbsd.data.volumes import VolumeInfo
from vpbsd.section import digest

FOLDER = "external"


def masks_folder(volumes: Sequence[VolumeInfo]) -> Path:
    """Gives the folder of a data set in which the masks of other tools lie."""
    return Path(volumes[0].path).parent / FOLDER


def kept_in(volumes: Sequence[VolumeInfo], name: str, masks: str) -> Path:
    """Gives the folder in which a tool's masks of that digest are kept, or would be."""
    return masks_folder(volumes) / f"{name}-{masks[:12]}"


def masks_digest(masks: Iterable[VolumeInfo]) -> str:
    """Computes what makes a set of masks this set: the voxels of each, by its volume's name."""
    return digest({mask.name: mask.fingerprint for mask in masks})
