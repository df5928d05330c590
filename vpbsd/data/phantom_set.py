"""The phantom as a data set on disk: written once, then found."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vpbsd.data.phantom_style import NUMERICS, SPACING_UM
from vpbsd.data.volume_checks import VolumeMetadata
from vpbsd.data.volume_writer import write_volume

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vpbsd.data.phantom import PhantomVolume

Kind = Literal["plain", "wide"]
"""plain: animals much alike, six labelled, eight not; wide: fifteen that differ, all labelled."""
KINDS: tuple[Kind, ...] = ("plain", "wide")

SMALL = (32, 64, 64)
"""Shape of every volume of the small phantom, one patch of it: for the preset `smoke`."""


def phantom_place(home: Path, kind: Kind = "plain", *, small: bool = False) -> Path:
    """Returns the folder below `home` in which a phantom lies, or will lie."""
    words = ["phantom", str(NUMERICS), *["wide"] * (kind == "wide"), *["small"] * small]
    return home / "-".join(words)


def phantom_folder(home: Path, kind: Kind = "plain", *, small: bool = False) -> Path:
    """Finds the folder of a phantom below `home`; generates it if it is not there."""
    folder = phantom_place(home, kind, small=small)
    if folder.exists():
        return folder
    print(f"generating vessel volumes in {folder} (once, some seconds)", file=sys.stderr)
    draft = folder.with_name(folder.name + ".partial")
    shutil.rmtree(draft, ignore_errors=True)
    for volume in _wide(small) if kind == "wide" else _plain(small):
        write_phantom(draft, volume)
    draft.rename(folder)
    return folder


def _plain(small: bool) -> Iterator[PhantomVolume]:
    from vpbsd.data.phantom import DEFAULT_SEED, phantom_volumes

    return phantom_volumes(DEFAULT_SEED, SMALL, SMALL, (4, 2)) if small else phantom_volumes()


def _wide(small: bool) -> Iterator[PhantomVolume]:
    from vpbsd.data.phantom_wide import SEED, wide_volumes

    return wide_volumes(SEED, SMALL, 6) if small else wide_volumes()


def write_phantom(folder: Path, volume: PhantomVolume) -> None:
    """Writes one generated volume as OME-Zarr."""
    image = volume.image
    metadata = VolumeMetadata(image.shape, str(image.dtype), SPACING_UM, volume.group, "phantom")
    label = None if volume.label is None else [volume.label]
    write_volume(folder, volume.name, [image], metadata, label)
