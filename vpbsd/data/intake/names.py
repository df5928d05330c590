"""What names of files say: format, order, and whether one is a label."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from vpbsd.errors import BadInput
from vpbsd.spelling import one_spelling

FORMATS = (
    *(".npz", ".nii.gz", ".nii", ".ome.tiff", ".ome.tif", ".tiff", ".tif"),
    *(".h5", ".hdf5", ".hdf", ".nrrd", ".nhdr", ".mhd", ".mha"),
)
ZARRS = (".ome.zarr", ".zarr")
SKIPPED = (
    "__MACOSX",
    "Thumbs.db",
    "@eaDir",
    "#recycle",
    "$RECYCLE.BIN",
)  # what systems leave in folders

WORDS = "label|labelmap|lbl|mask|msk|seg|segmentation|gt|truth|groundtruth|ground_truth|annotation"
LABEL = re.compile(rf"[_. -](?:{WORDS}|manual|binary)s?$", re.IGNORECASE)
LABEL_FOLDER = re.compile(rf"^(?:labels?(?:Tr|Ts)|(?:{WORDS})s?)$", re.IGNORECASE)
IMAGE_FOLDER = re.compile(r"^(?:images?|imgs?|raw)$", re.IGNORECASE)
CHANNEL = re.compile(r"_\d{4}$")


def format_of(path: Path) -> str:
    """Finds the suffix among `FORMATS` that a name ends with, or nothing.

    >>> format_of(Path("brain.NII.gz")), format_of(Path("notes.txt"))
    ('.nii.gz', '')
    """
    return next((suffix for suffix in FORMATS if path.name.lower().endswith(suffix)), "")


def is_zarr(path: Path) -> bool:
    """Tells whether a folder is a zarr group or array, by the files it holds."""
    return path.is_dir() and any(
        (path / name).is_file() for name in ("zarr.json", ".zgroup", ".zattrs", ".zarray")
    )


def stem(path: Path) -> str:
    """Gives the name without its suffix, accents written in one way.

    >>> stem(Path("a/brain.v2.ome.tif"))
    'brain.v2'
    """
    suffixes = ZARRS if path.is_dir() else (format_of(path),)
    found = next((s for s in suffixes if s and path.name.lower().endswith(s)), "")
    return one_spelling(path.name[: len(path.name) - len(found)])


def natural(path: Path) -> list[tuple[int, str]]:
    """Makes a key that sorts numbers within names by their value.

    >>> sorted([Path("slice10"), Path("slice9")], key=natural)[0].name
    'slice9'
    """
    return [(int(n or 0), text) for n, text in re.findall(r"(\d+)|(\D+)", path.name)]


def hidden(path: Path) -> bool:
    """Tells whether a name is one of a system's own, as ``._a.tif`` or ``.DS_Store`` are."""
    return path.name.startswith((".", "~$")) or path.name in SKIPPED


def entries(folder: Path) -> list[Path]:
    """Lists what a folder holds, in natural order, without what systems leave in it.

    Raises:
        BadInput: The folder cannot be read.
    """
    try:
        return sorted((p for p in folder.iterdir() if not hidden(p)), key=natural)
    except OSError as error:
        raise BadInput(f"{folder} cannot be read: {error.strerror}") from error


def refuse_lost(paths: Iterable[Path]) -> None:
    """Refuses links that lead nowhere: what they stand for would be left out silently.

    Raises:
        BadInput: Naming the first.
    """
    for path in paths:
        if path.is_symlink() and not path.exists():
            raise BadInput(f"{path} is a link that leads nowhere: mend it, or take it away")


def labelled_stem(name: str) -> str | None:
    """Gives the name of the image that a label is of, by its own name; None if it is no label's.

    >>> labelled_stem("mouse1_mask"), labelled_stem("mouse1")
    ('mouse1', None)
    """
    found = LABEL.search(name)
    return name[: found.start()] if found else None


def without_channel(name: str) -> str:
    """Gives a name without its number of a channel, four digits at the end.

    >>> without_channel("brain_007_0001"), without_channel("brain_007")
    ('brain_007', 'brain_007')
    """
    return CHANNEL.sub("", name)


def is_label_folder(path: Path) -> bool:
    """Tells whether a folder's name says that it holds labels.

    >>> [is_label_folder(Path(p)) for p in ("labelsTr", "gt", "masks", "raw", "imagesTr")]
    [True, True, True, False, False]
    """
    return LABEL_FOLDER.match(path.name) is not None
