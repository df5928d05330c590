"""Volumes that are ready to be imported: what may not be among them, and how they are listed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vpbsd.data.intake.masks import few_values
from vpbsd.data.intake.names import is_label_folder
from vpbsd.data.intake.stack import Stack
from vpbsd.data.volume_checks import VolumeMetadata
from vpbsd.errors import BadInput


@dataclass(frozen=True)
class Source:
    """A volume ready to be imported: everything was checked that costs no full read.

    Attributes:
        name: Of the volume.
        image: Its planes.
        label: On the voxels of the image.
        metadata: What goes with them.
        grouped: Whether the user stated the group; by default the name tells.
    """

    name: str
    image: Stack
    label: Stack | None
    metadata: VolumeMetadata
    grouped: bool


def refuse_same_names(sources: Sequence[Source]) -> None:
    """Refuses two volumes of one name, which is a key."""
    names = Counter(source.name for source in sources)
    for name, count in names.items():
        if count > 1:
            paths = [str(source.image.path) for source in sources if source.name == name]
            raise BadInput(
                f"{count} sources are named {name} ({paths[0]}, {paths[1]}): rename them, the "
                "name is a key; of an image and its label, name the label NAME_label"
            )


def refuse_masks(sources: Sequence[Source]) -> None:
    """Refuses masks in the place of images; a mask is read whole for it."""
    for source in sources:
        path = source.image.path
        if is_label_folder(path.parent) and source.image.dtype.kind in "bui":
            raise BadInput(
                f"{path} lies in a folder of labels, but no image goes with it: give the folder "
                "of its image, or pass --masks-are-images"
            )
        values = few_values(source.image)
        if values:
            held = ", ".join(f"{value:g}" for value in values)
            raise BadInput(
                f"{source.image.path} holds only the values {held}, as a mask does, but no image "
                "goes with it: name it NAME_label beside its image, name both in a table, or pass "
                "--masks-are-images"
            )


def listed(sources: Sequence[Source]) -> Iterator[str]:
    """Yields what goes with what, before any work."""
    for source in sources:
        label = "no label" if source.label is None else f"label {_place(source, source.label)}"
        white = ", white is zero: inverted" if source.image.inverted else source.image.remark
        yield (
            f"{source.name}: image {_place(source, source.image)}{white} | {label} | "
            f"group {source.metadata.group}{'' if source.grouped else ' (by its name)'}"
        )


def _place(source: Source, stack: Stack) -> str:
    """Renders where a stack lies: from its image's folder where it lies beside it."""
    folder, path = source.image.path.parent, stack.path
    if path == source.image.path and stack is not source.image:
        return "within"
    return path.name if path.parent == folder else str(path)
