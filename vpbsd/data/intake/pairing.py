"""Which label belongs to which image: by a table, by names, or by folders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vpbsd.data.intake.finding import Found, real
from vpbsd.data.intake.names import (
    IMAGE_FOLDER,
    entries,
    format_of,
    is_label_folder,
    is_zarr,
    labelled_stem,
    stem,
    without_channel,
)
from vpbsd.data.intake.slices import slice_files
from vpbsd.data.intake.table import Stated
from vpbsd.errors import BadInput

REACH = 3  # folders above an image in which a folder of labels is looked for


@dataclass(frozen=True)
class Pair:
    """An image and where its label lies.

    Attributes:
        image: The source.
        label: File or folder; None where there is none beside it.
        channel_of: Name of the case, where the image's own name ends in a channel's number.
    """

    image: Found
    label: Path | None
    channel_of: str | None = None


def pair(found: Sequence[Found], rows: Mapping[str, Stated]) -> list[Pair]:
    """Tells images from labels and brings them together.

    Raises:
        BadInput: An image has several labels, or a label belongs to no image.
    """
    named = {real(row.label) for row in rows.values() if row.label is not None}
    labels = [one for one in found if _in_label_folder(one, found)]
    images = [one for one in found if one.real not in named and one not in labels]
    pairs = [_pair(image, rows.get(image.real, Stated()), labels) for image in images]
    taken = {real(one.label) for one in pairs if one.label is not None}
    kept = [one for one in pairs if one.image.real not in taken]
    labels += [p.image for p in kept if p.label is None and _says_label(p.image, found)]
    lost = [one for one in labels if one.real not in taken | named]
    if lost:
        raise BadInput(
            f"{lost[0].path} is named as a label, but no image goes with it: name it as its image "
            "is, or pair them in a table"
        )
    return kept


def _says_label(one: Found, found: Sequence[Found]) -> bool:
    """Tells whether a source without partner is named as a label where others are images."""
    return labelled_stem(one.name) is not None and len(found) > 1


def _in_label_folder(one: Found, found: Sequence[Found]) -> bool:
    """Tells whether a source lies in a folder of labels, where others lie elsewhere."""
    above = [folder for folder in list(one.path.parents)[:REACH] if is_label_folder(folder)]
    return any(not other.path.is_relative_to(folder) for folder in above for other in found)


def _pair(image: Found, row: Stated, labels: Sequence[Found]) -> Pair:
    """Finds the label of an image: in the table, beside it, near it, or among the sources."""
    if row.label is not None:
        if not row.label.exists():
            raise BadInput(f"label {row.label} of {image.path} does not exist: correct the table")
        return Pair(image, row.label)
    if _is_label_itself(image):
        return Pair(image, None)
    place, own = image.place, stem(image.place)
    for name in dict.fromkeys((own, without_channel(own))):
        if name != own and _is_image(place.parent, name):
            break  # the number is no channel's: the name without it is another image
        found = [*_beside(place, name), *_in_folders(place, name)]
        found = found or [p.path for p in labels if _is_of(p.place, name)]
        if len(found) > 1:
            names = ", ".join(sorted(_shown(p, place.parent) for p in found))
            raise BadInput(
                f"{place} has several labels ({names}): keep one, or name it in a table"
            )
        if found:
            return Pair(image, found[0], None if name == own else name)
    return Pair(image, None, _case(image))


def _is_label_itself(image: Found) -> bool:
    """Tells whether a name is that of a label whose image lies beside it."""
    name = labelled_stem(stem(image.place))
    siblings = _volumes(image.place.parent) if name is not None else ()
    return any(stem(p) == name or without_channel(stem(p)) == name for p in siblings)


def _case(image: Found) -> str | None:
    """Gives the case of an image without label, where its folder's name says what numbers mean."""
    name = without_channel(image.name)
    tells = image.place.parent.name.lower() in ("imagestr", "imagests")
    return name if tells and name != image.name else None


def _is_image(folder: Path, name: str) -> bool:
    return any(stem(p) == name for p in _volumes(folder))


def _is_of(label: Path, name: str) -> bool:
    """Tells whether a file in a folder of labels is named after an image."""
    return name in (stem(label), labelled_stem(stem(label)))


def _beside(path: Path, name: str) -> list[Path]:
    """Lists the labels in the image's own folder: NAME_label and the like."""
    named = [p for p in _volumes(path.parent) if p != path and labelled_stem(stem(p)) == name]
    return named or (_slices(path) if path.is_dir() else [])


def _slices(folder: Path) -> list[Path]:
    """Lists folders of a label's slices within a folder of slices, or beside one named images."""
    beside = _label_folders(folder.parent) if IMAGE_FOLDER.match(folder.name) else []
    inside = [] if is_zarr(folder) else _label_folders(folder)
    return [p for p in (*inside, *beside) if slice_files(p)]


def _in_folders(path: Path, name: str) -> list[Path]:
    """Lists the labels in a folder of labels, within or beside the folders that hold the image."""
    found = []
    for above in list(path.parents)[:REACH]:
        if is_label_folder(above):
            break
        inner = path.parent.relative_to(above).parts
        for folder in _label_folders(above):
            for below in dict.fromkeys((inner, inner[1:])):
                place = folder.joinpath(*below)
                candidates = _volumes(place) if place.is_dir() else ()
                found += [p for p in candidates if _is_of(p, name)]
        if found:
            break
    return list(dict.fromkeys(found))


def _label_folders(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if is_label_folder(p) and p.is_dir())
    except PermissionError:  # a folder above the sources, which may be anyone's
        return []


def _volumes(folder: Path) -> Iterator[Path]:
    return (p for p in entries(folder) if p.is_dir() or format_of(p))


def _shown(path: Path, folder: Path) -> str:
    return path.name if path.parent == folder else str(path)
