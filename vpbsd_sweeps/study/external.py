"""Masks of other tools in a study: arms that are scored and never trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from vpbsd.data.kept_masks import kept_in, masks_digest
from vpbsd.data.volumes import VolumeInfo, list_volumes
from vpbsd.errors import BadInput
from vpbsd.pipeline.arms import EXTERNAL


@dataclass(frozen=True)
class ExternalMasks:
    """What another tool or a person marked in the test volumes.

    Attributes:
        name: Of the tool.
        masks: One per test volume, bearing its name.
        unseen: Whether the user states that it was not trained on these volumes.
    """

    name: str
    masks: tuple[VolumeInfo, ...]
    unseen: bool = False

    @property
    def arm(self) -> str:
        """Its arm."""
        return f"{EXTERNAL}{self.name}"

    @cached_property
    def by_volume(self) -> Mapping[str, VolumeInfo]:
        """Name of a volume -> its mask."""
        return {mask.name: mask for mask in self.masks}

    @property
    def identity(self) -> dict[str, Any]:
        """What a study keeps of it: a hash of all masks, and whether the tool saw the volumes."""
        return {"masks": masks_digest(self.masks), "unseen": self.unseen}


def given_masks(
    folders: Mapping[str, str],
    unseen: Sequence[str],
    volumes: Sequence[VolumeInfo],
    tested: Sequence[str],
) -> tuple[ExternalMasks, ...]:
    """Reads the masks that a user gives.

    Args:
        folders: Name -> where its masks lie.
        unseen: Names that were not trained on these volumes.
        volumes: The data set.
        tested: Names of the test volumes.

    Raises:
        BadInput: See `import_masks`.
    """
    from vpbsd.data.intake.external import import_masks  # readers of all formats

    return tuple(
        ExternalMasks(name, import_masks(name, folder, volumes, tested), name in unseen)
        for name, folder in folders.items()
    )


def not_trained(trials: Sequence[str], remedy: str) -> str:
    """Says of a study whose masks alone are scored which trials have no result.

    Args:
        trials: Their names.
        remedy: What would train them.

    >>> not_trained(["kd-fold0-seed0"], "another command trains it")
    '1 trial has no result, and only masks are scored (kd-fold0-seed0): another command trains it'
    """
    count = f"{len(trials)} trials have" if len(trials) > 1 else "1 trial has"
    return f"{count} no result, and only masks are scored ({', '.join(trials)}): {remedy}"


def with_known(
    given: Sequence[ExternalMasks],
    known: Mapping[str, Mapping[str, Any]],
    volumes: Sequence[VolumeInfo],
    study: str,
) -> tuple[ExternalMasks, ...]:
    """Returns the masks that a study has already, then those given now.

    What was stated to be unseen stays so.

    Args:
        given: Now.
        known: Name -> identity of those that the study has.
        volumes: The data set, beside which masks are kept.
        study: Its name.

    Raises:
        BadInput: Others are given under a name that is taken, or those kept are gone.
    """
    new, found = {one.name: one for one in given}, []
    for name, before in known.items():
        one = new.pop(name, None)
        if one is None:
            folder = kept_in(volumes, name, before["masks"])
            masks = list_volumes(folder) if folder.is_dir() else ()
            one = ExternalMasks(name, masks)
        if masks_digest(one.masks) != before["masks"]:
            gone = f"the masks of {name} are no longer in {volumes[0].path.rpartition('/')[0]}"
            why = "other masks are given now" if one.masks else gone
            raise BadInput(
                f"study '{study}' has masks of {name}, and {why}: pass --external {name}=FOLDER "
                "with the same masks, or give others another name"
            )
        found.append(ExternalMasks(name, one.masks, one.unseen or before["unseen"]))
    return (*found, *new.values())
