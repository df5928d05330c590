"""The phantom as a data set on disk: written once, then found."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vpbsd.data.phantom_style import NUMERICS, SPACING_UM
from vpbsd.data.volume_checks import VolumeMetadata
from vpbsd.data.volume_writer import write_volume

if TYPE_CHECKING:
    from vpbsd.data.phantom import PhantomVolume


def phantom_folder(home: Path) -> Path:
    """Finds the folder of the default phantom below `home`; generates it if it is not there."""
    folder = home / f"phantom-{NUMERICS}"
    if folder.exists():
        return folder
    from vpbsd.data.phantom import phantom_volumes

    print(f"generating vessel volumes in {folder} (once, some seconds)", file=sys.stderr)
    draft = folder.with_name(folder.name + ".partial")
    shutil.rmtree(draft, ignore_errors=True)
    for volume in phantom_volumes():
        write_phantom(draft, volume)
    draft.rename(folder)
    return folder


def write_phantom(folder: Path, volume: PhantomVolume) -> None:
    """Writes one generated volume as OME-Zarr."""
    image = volume.image
    metadata = VolumeMetadata(image.shape, str(image.dtype), SPACING_UM, volume.group, "phantom")
    label = None if volume.label is None else [volume.label]
    write_volume(folder, volume.name, [image], metadata, label)
