"""Masks that another tool or a person made of imported volumes: matched by name, kept by content.

They are kept beside the volumes, where every node that sees the data sees them too.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from vpbsd.data.intake.finding import Found, find
from vpbsd.data.intake.grids import imported_grid
from vpbsd.data.intake.importing import open_label
from vpbsd.data.intake.names import labelled_stem, without_channel
from vpbsd.data.intake.pairing import Pair
from vpbsd.data.intake.stack import Opened, Stack, slabs
from vpbsd.data.kept_masks import kept_in, masks_digest, masks_folder
from vpbsd.data.volume_checks import VolumeMetadata
from vpbsd.data.volume_writer import write_volume
from vpbsd.data.volumes import VolumeInfo, list_volumes
from vpbsd.errors import BadInput

NAME = re.compile(r"(?!.*_on_)[A-Za-z0-9][A-Za-z0-9_.+-]{0,39}")
NAMED = 4
"""Files that a line names; more are counted."""


def import_masks(
    name: str, folder: str | Path, volumes: Sequence[VolumeInfo], tested: Iterable[str]
) -> tuple[VolumeInfo, ...]:
    """Keeps the masks of the tested volumes, each on the voxels of its volume.

    A mask is named as its volume, perhaps with ``_mask`` and the like behind, or as its case where
    the volume's name ends in a channel's number. Masks of other volumes of the data set are left
    out; those of none are named on standard error.

    Args:
        name: Of the tool or person.
        folder: Holds the masks, in any format that can be imported.
        volumes: The data set.
        tested: Names of the volumes that need a mask.

    Returns:
        The masks by the names of their volumes: images of type uint8, numbers of classes.

    Raises:
        BadInput: The name is not plain, a tested volume has no mask or several, or a mask does not
            lie on the voxels of its volume or holds other values than a mask.
    """
    if not NAME.fullmatch(name):
        raise BadInput(
            f"--external {name}={folder}: give a name of letters, digits and _ . + -, 40 at most, "
            "without _on_"
        )
    wanted = {v.name: v for v in volumes if v.name in set(tested)}
    place = masks_folder(volumes)
    masks = _matched(name, find([folder], place), volumes, wanted)
    draft = place / f".{uuid4().hex[:8]}.partial"
    try:
        written = [_keep(masks[volume], wanted[volume], draft) for volume in sorted(wanted)]
        final = kept_in(volumes, name, masks_digest(written))
        if not final.exists():
            _appear(draft, final)
    except OSError as error:
        why = error.strerror or str(error)
        raise BadInput(
            f"masks of {name} are kept beside their volumes, and {place} cannot be written: {why}"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return list_volumes(final)


def _appear(draft: Path, final: Path) -> None:
    try:
        draft.rename(final)
    except OSError:
        if not final.exists():  # else another run has just kept the same masks
            raise


def _matched(
    name: str, found: Sequence[Found], volumes: Sequence[VolumeInfo], wanted: Mapping[str, object]
) -> dict[str, Found]:
    """Finds the mask of every wanted volume.

    Raises:
        BadInput: One has none, or several.
    """
    by_name = {v.name: v.name for v in volumes}
    cases = Counter(without_channel(v.name) for v in volumes)
    by_case = {c: v.name for v in volumes if cases[c := without_channel(v.name)] == 1}
    masks, strange = dict[str, list[Found]](), []
    for one in found:
        words = [one.name, labelled_stem(one.name) or one.name]
        volume = next((v for by in (by_name, by_case) for w in words if (v := by.get(w))), None)
        if volume is None:
            strange.append(one.path.name)
        else:
            masks.setdefault(volume, []).append(one)
    for volume in wanted:
        if len(masks.get(volume, ())) > 1:
            several = _listed([one.path.name for one in masks[volume]])
            raise BadInput(f"--external {name}: volume {volume} has several masks ({several})")
    missing = sorted(volume for volume in wanted if volume not in masks)
    if missing:
        other = f"; {_listed(strange)} belong to no volume" if strange else ""
        raise BadInput(
            f"--external {name}: {len(missing)} of {len(wanted)} test volumes have no mask "
            f"({_listed(missing)}){other}: name each mask as its volume is"
        )
    if strange:
        print(f"--external {name}: {_listed(strange)} belong to no volume", file=sys.stderr)
    return {volume: masks[volume][0] for volume in wanted}


def _keep(one: Found, volume: VolumeInfo, folder: Path) -> VolumeInfo:
    """Writes a mask as a volume of its own, on the voxels of the one that it is of."""
    opened = Opened(imported_grid(volume))
    mask = open_label(Pair(Found(Path(volume.path), volume.name), one.path), opened)
    assert mask is not None
    metadata = VolumeMetadata(volume.shape, "uint8", volume.spacing_um, volume.group)
    return write_volume(folder, volume.name, _numbers(mask, len(volume.classes)), metadata)


def _numbers(mask: Stack, classes: int) -> Iterator[NDArray[np.uint8]]:
    """Yields slabs of numbers of classes; of one class, whatever number marks it.

    Raises:
        BadInput: There are other values, as probabilities have.
    """
    seen = set[float]()
    for slab in slabs(mask):
        values: NDArray[Any] = np.unique(slab[slab != 0])
        seen.update(values[: classes + NAMED].tolist())
        alone = len(seen) == 1 and 0 < min(seen) < np.inf
        if seen and not (alone if classes == 1 else seen <= set(range(1, classes + 1))):
            held = ", ".join(f"{value:g}" for value in sorted(seen)[: classes + NAMED])
            wanted = "one value" if classes == 1 else f"1 to {classes}"
            raise BadInput(
                f"{mask.path}: a mask holds 0 and {wanted}, this one {held}: save the mask, not "
                "probabilities or instances"
            )
        yield (slab != 0).astype(np.uint8) if classes == 1 else slab.astype(np.uint8)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
