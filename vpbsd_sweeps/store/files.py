"""What a store holds beside results: running stages and studies, as whole files at any URL."""

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from vpbsd.errors import BadInput
from vpbsd_sweeps.messages import first_line

JSON: TypeAlias = "None | bool | int | float | str | Sequence[JSON] | Mapping[str, JSON]"
DRAFT = ".draft"
NO_END = 2**63
log = logging.getLogger(__name__)


def encode(value: JSON) -> bytes:
    """One line of JSON. NaN and infinities are kept, as Python writes and reads them."""
    return json.dumps(value).encode()


def hexadecimal(key: str) -> str:
    """The key itself.

    Raises:
        ValueError: it is not lowercase hexadecimal.
    """
    if not key or set(key) - set("0123456789abcdef"):
        raise ValueError(f"a key is lowercase hexadecimal, not {key!r}")
    return key


def inside(name: str) -> str:
    """The name itself, of a file below some folder.

    Raises:
        ValueError: it is absolute or has empty, ``.`` or ``..`` parts.
    """
    if {"", ".", ".."} & set(name.split("/")):
        raise ValueError(f"{name!r} does not name a file below its folder")
    return name


def sync(path: Path) -> None:
    """Asks the disk to keep a local file, or a folder's list of names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def bring(source: Path, target: Path) -> None:
    """Gives a local file a second name; copies where the file system cannot."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copyfile(source, target)


@contextmanager
def whole(target: Path, publish: Callable[[Path, Path], None] = os.replace) -> Iterator[Path]:
    """Yields a draft's name; what was written there becomes ``target`` in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{uuid4().hex}{DRAFT}")
    try:
        yield draft
        sync(draft)
        publish(draft, target)
        with suppress(OSError):  # some network mounts cannot sync a folder
            sync(target.parent)
    finally:
        draft.unlink(missing_ok=True)  # a rename between two links of one file keeps both


def append(target: Path, line: bytes) -> None:
    """Adds a line to a local journal in one write; a torn line before it stays apart."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("ab+", buffering=0) as file:
        if file.tell() and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n":
            line = b"\n" + line
        if file.write(line) != len(line):
            raise OSError(f"{target}: the disk took only a part of a journal line")
        os.fsync(file.fileno())


class FileStore:
    """Running stages and studies below one URL; ``Store`` adds the finished results.

    Every file is whole: locally it is written beside its name, synced and renamed, and an object
    store's put is atomic. Two processes may use one URL; instances can be pickled.

    Attributes:
        url: an absolute path for a local folder, else the URL without a slash at its end.
        is_local: whether files can be used in place.
    """

    def __init__(self, url: str) -> None:
        if not url:
            raise BadInput("the store is empty: give a folder or a URL such as s3://bucket/name")
        try:  # a cached listing would hide what other processes write
            self._files, root = url_to_fs(url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise BadInput(
                f"the store {url} cannot be opened ({first_line(error)}): "
                "give a folder, or a URL whose fsspec package is installed"
            ) from error
        self.is_local = isinstance(self._files, LocalFileSystem)
        self._root = os.path.abspath(root).rstrip("/") if self.is_local else root.rstrip("/")
        self.url = self._root or "/" if self.is_local else self._files.unstrip_protocol(root)

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return type(self), (self.url,)

    def check_writable(self) -> None:
        """Writes and removes one small file; folders that are missing are not made.

        Raises:
            BadInput: that failed.
        """
        folder = self._root
        while self.is_local and folder and not os.path.lexists(folder):
            folder = os.path.dirname(folder).rstrip("/")
        probe = f"{folder}/.probe-{uuid4().hex}"
        try:
            self._files.pipe_file(probe, b"")
            self._files.rm_file(probe)
        except Exception as error:  # every kind of store has exceptions of its own
            raise BadInput(
                f"the store {self.url} cannot be written ({first_line(error)}): "
                "give a folder or bucket that this user may write"
            ) from error

    def save_running(self, key: str, files: Mapping[str, Path | bytes]) -> None:
        """Replaces files of a running stage, each in one step, in the order given.

        A local file may be linked, not copied: replace it when it changes, do not write into it.
        """
        for name, content in files.items():
            self._put(self._running(key, name), content)

    def load_running(self, key: str, name: str) -> bytes | None:
        """The content of a running stage's file, or None."""
        return self._get(self._running(key, name))

    def fetch_running(self, key: str, name: str, to: Path) -> bool:
        """Puts a running stage's file at ``to``, for reading; False where there is none."""
        source = self._running(key, name)
        try:
            with whole(to) as draft:
                if self.is_local:
                    bring(Path(source), draft)
                else:
                    self._files.get_file(source, str(draft))
        except FileNotFoundError:
            return False
        return True

    def notes(self, key: str) -> tuple[str, AbstractFileSystem]:
        """A folder beside a running stage's files for programs that keep notes, and its files."""
        return f"{self._running(key)}/notes", self._files

    def list_running(self, key: str) -> list[str]:
        """Sorted names of what a running stage has saved."""
        return sorted(name for name in self._sizes(self._running(key)) if DRAFT not in name)

    def clear_running(self, key: str) -> None:
        """Forgets a running stage; a local one vanishes in one step."""
        folder = self._running(key)
        with suppress(FileNotFoundError):
            if not self.is_local:
                self._files.rm(folder, recursive=True)
                return
            gone = f"{folder}.{uuid4().hex}{DRAFT}"
            os.rename(folder, gone)
            shutil.rmtree(gone, ignore_errors=True)

    def append_rows(self, key: str, index: int, rows: Sequence[Mapping[str, JSON]]) -> None:
        """Saves the rows number ``index``, ``index + 1``, ... of a running stage.

        The same index again replaces its batch. Batches that begin inside this one stem from an
        attempt that was resumed from an earlier row; they go.
        """
        if index < 0:
            raise ValueError(f"rows are counted from 0, not {index}")
        self._put(self._running(key, f"rows-{index}.json"), encode(rows))
        for first in self._batches(key):
            if index < first < index + len(rows):
                with suppress(FileNotFoundError):
                    self._files.rm_file(self._running(key, f"rows-{first}.json"))

    def read_rows(self, key: str, start: int) -> list[dict[str, Any]]:
        """Rows from number ``start`` up to the first that is missing.

        A batch counts up to where the next one begins.
        """
        if start < 0:
            raise ValueError(f"rows are counted from 0, not {start}")
        rows: list[dict[str, Any]] = []
        for first, following in pairwise([*self._batches(key), NO_END]):
            wanted = start + len(rows)
            if following <= wanted:
                continue
            batch = self.load_running(key, f"rows-{first}.json") if first <= wanted else None
            if batch is None:
                break
            rows += json.loads(batch)[wanted - first : following - first]
        return rows

    def write_json(self, path: str, value: Mapping[str, JSON]) -> None:
        """Replaces a small file of a study in one step; ``path`` is ``<study>/<file>``."""
        self._put(self._study(path), encode(value))

    def read_json(self, path: str) -> dict[str, Any] | None:
        """What ``write_json`` put at this path; None where nothing is."""
        text = self._get(self._study(path))
        value: dict[str, Any] | None = None if text is None else json.loads(text)
        return value

    def studies(self) -> list[str]:
        """Sorted names of the studies that were started here."""
        found = self._sizes(f"{self._root}/studies")
        return sorted({name.partition("/")[0] for name in found})

    def append_line(self, path: str, entry: Mapping[str, JSON]) -> None:
        """Adds an entry to a study's journal; it is on disk when this returns.

        An object store cannot append: there a journal is a folder of numbered objects.
        """
        journal = self._study(path)
        line = encode(entry) + b"\n"
        if self.is_local:
            append(Path(journal), line)
            return
        taken = [int(name.partition("-")[0]) for name in self._sizes(journal)]
        self._put(f"{journal}/{max(taken, default=-1) + 1:08d}-{uuid4().hex}.json", line)

    def read_lines(self, path: str) -> list[dict[str, Any]]:
        """A journal's entries, oldest first; what a crash left half written is passed over."""
        entries = []
        for line in self._journal(self._study(path)).splitlines():
            try:
                entries += [json.loads(line)] if line else []
            except ValueError:
                log.warning("%s/studies/%s: passed over a torn line", self.url, path)
        return entries

    def _journal(self, journal: str) -> bytes:
        if self.is_local:
            return self._get(journal) or b""
        names = [f"{journal}/{name}" for name in sorted(self._sizes(journal))]
        return b"".join(self._files.cat_ranges(names, None, None, on_error="raise"))

    def _running(self, key: str, name: str = "") -> str:
        folder = f"{self._root}/running/{hexadecimal(key)}"
        return f"{folder}/{inside(name)}" if name else folder

    def _study(self, path: str) -> str:
        return f"{self._root}/studies/{inside(path)}"

    def _batches(self, key: str) -> list[int]:
        names = [name for name in self.list_running(key) if name.startswith("rows-")]
        return sorted(int(name.removeprefix("rows-").removesuffix(".json")) for name in names)

    def _put(self, path: str, content: Path | bytes) -> None:
        if isinstance(content, Path) and not self.is_local:
            self._files.put_file(str(content), path)
        elif isinstance(content, Path):
            with whole(Path(path)) as draft:
                bring(content, draft)
        elif self.is_local:
            with whole(Path(path)) as draft:
                draft.write_bytes(content)
        else:
            self._files.pipe_file(path, content)

    def _get(self, path: str) -> bytes | None:
        try:
            content: bytes = self._files.cat_file(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return content

    def _sizes(self, folder: str) -> dict[str, int]:
        found = self._files.find(folder, detail=True)
        return {path[len(folder) + 1 :]: info["size"] for path, info in found.items()}
