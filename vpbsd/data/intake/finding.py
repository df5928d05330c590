"""Which volumes the given files and folders stand for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import tifffile

from vpbsd.data.intake import ome_xml
from vpbsd.data.intake.names import FORMATS, entries, format_of, is_zarr, refuse_lost, stem
from vpbsd.data.intake.slices import slice_files
from vpbsd.data.intake.stack import reading
from vpbsd.data.volumes import SUFFIX
from vpbsd.errors import BadInput
from vpbsd.spelling import one_spelling, unprintable


@dataclass(frozen=True)
class Found:
    """A source: what is opened, and what it is called.

    Attributes:
        path: As given, links not followed.
        name: Of the volume that it becomes.
        folder: That a series of files fills, which then stands for it.
    """

    path: Path
    name: str
    folder: Path | None = None

    @property
    def place(self) -> Path:
        """What the user sees of it: labels are looked for beside it."""
        return self.folder or self.path

    @property
    def real(self) -> str:
        """Where it really lies; two links to one place are one source."""
        return real(self.place)


def real(path: Path) -> str:
    """Follows all links of a path, once; other spellings of accents count as the same."""
    return one_spelling(os.path.realpath(path))


def on_disk(path: Path) -> Path:
    """Finds a path whose accents its file system writes in another way than who named it."""
    if path.exists() or path.parent == path:
        return path
    folder = on_disk(path.parent)
    if not folder.is_dir():
        return path
    name = one_spelling(path.name)
    return next((p for p in folder.iterdir() if one_spelling(p.name) == name), path)


def absolute(path: str | Path) -> Path:
    """Makes a path absolute; its links stay."""
    return Path(os.path.abspath(path))


def find(sources: Iterable[str | Path], dest: Path) -> list[Found]:
    """Lists the sources of all volumes: a folder stands for those in it; each once, in order.

    Hidden files, links to folders that were seen, and volumes of the data set itself are left out.

    Raises:
        BadInput: A path is not there, or holds nothing that can be imported.
    """
    found: dict[str, Found] = {}
    walk = _Walk(real(dest))
    for path in map(absolute, sources):
        if not path.is_file() and not path.is_dir():
            why = "is neither file nor folder" if path.exists() else "does not exist"
            raise BadInput(f"{path} {why}: give a file or a folder")
        known = walk.came_before(path)
        with reading(path):
            inside = list(walk.below(path))
        if not inside and not known:
            raise BadInput(f"{path} holds nothing to import: give {', '.join(FORMATS)} files")
        for one in inside:
            _check_name(one.path)
            other = found.setdefault(one.real, one)
            if other is not one and not other.path.samefile(one.path):
                raise BadInput(
                    f"{one.path} is there twice, its accents written in two ways: rename one"
                )
    return list(found.values())


def _check_name(path: Path) -> None:
    """Refuses names that hold line breaks and the like, or bytes that are no UTF-8."""
    if unprintable(path.name):
        raise BadInput(
            f"{str(path)!a} has a character in its name that cannot be printed: rename it"
        )


class _Walk:
    """Walks through folders, each once; files that are one series are one source.

    Args:
        dest: Real path of the data set, whose volumes are no sources.
    """

    def __init__(self, dest: str) -> None:
        self._dest = dest
        self._folders: set[str] = set()
        self._members: set[str] = set()  # files of a series that was found

    def came_before(self, path: Path) -> bool:
        """Tells whether a path was walked through already, as itself or within a series."""
        return real(path) in self._folders | self._members

    def below(self, path: Path) -> Iterator[Found]:
        """Yields the sources that a path stands for."""
        if path.is_file() or is_zarr(path):
            yield from self._file(path)
            return
        if real(path) in self._folders:
            return  # a link in a circle, or given twice
        self._folders.add(real(path))
        inside = entries(path)
        refuse_lost(inside)
        slices = slice_files(path)
        if slices:
            yield Found(path, one_spelling(path.name))
        files = [p for p in inside if p.is_file() and format_of(p) and p not in slices]
        found = [one for p in files for one in self._file(p)]
        if len(found) == 1 and len(files) > 1:  # the whole folder is one series
            found = [Found(found[0].path, one_spelling(path.name), path)]
        yield from found
        for folder in (p for p in inside if p.is_dir()):
            if not (folder.name.endswith(SUFFIX) and real(folder.parent) == self._dest):
                yield from self.below(folder)

    def _file(self, path: Path) -> Iterator[Found]:
        if real(path) in self._members:
            return
        names = _series(path)
        self._members.update(real(path.parent / name) for name in names)
        yield Found(path, one_spelling(_common(names) or stem(path)))


def _series(path: Path) -> tuple[str, ...]:
    """Lists the files of an OME-TIFF that goes on in others; none for any other file."""
    if not format_of(path).startswith((".tif", ".ome.tif")):
        return ()
    with reading(path), tifffile.TiffFile(path) as file:
        names = ome_xml.files(file.ome_metadata) if file.ome_metadata else ()
    return names if len(names) > 1 else ()


def _common(names: tuple[str, ...]) -> str:
    """Gives what the names of a series have in common, without the word before the number.

    >>> _common(("img_Z000.ome.tif", "img_Z001.ome.tif"))
    'img'
    """
    shared = os.path.commonprefix([stem(Path(name)) for name in names]).rstrip("0123456789")
    return shared.rstrip("zZ").rstrip("_-. ") if names else ""
