"""Atomic files below one folder or URL: what results, checkpoints and studies are made of."""

import json
import logging
import os
import platform
import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from vpbsd.errors import BadInput
from vpbsd_sweeps.messages import first_line
from vpbsd_sweeps.patience import asks_store
from vpbsd_sweeps.store.local_files import DRAFT, atomic_write, link_if_free, link_or_copy
from vpbsd_sweeps.store.s3 import in_one_request, retries

log = logging.getLogger(__name__)
JSON: TypeAlias = "None | bool | int | float | str | Sequence[JSON] | Mapping[str, JSON]"
MARK = ".mark"


def encode(value: JSON) -> bytes:
    """Writes a value as one line of JSON; NaN and infinities stay, as Python reads them.

    >>> encode({"dsc": 0.5})
    b'{"dsc": 0.5}'
    """
    return json.dumps(value).encode()


def check_key(key: str) -> str:
    """Returns the key itself.

    Raises:
        ValueError: It is not lowercase hexadecimal.
    """
    if not key or set(key) - set("0123456789abcdef"):
        raise ValueError(f"a key is lowercase hexadecimal, not {key!r}")
    return key


def check_inside(name: str) -> str:
    """Returns the name itself, of a file below some folder.

    Raises:
        ValueError: It is absolute or has empty, ``.`` or ``..`` parts.
    """
    if {"", ".", ".."} & set(name.split("/")):
        raise ValueError(f"{name!r} does not name a file below its folder")
    return name


def _protocols(fs: AbstractFileSystem) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


class FileStore:
    """Files by their names below one URL; names have ``/`` between folders.

    Every file appears in one step: locally it is written beside its name, synced and renamed, and
    an object store's put is atomic. Two processes may use one URL; instances can be pickled.

    Attributes:
        url: An absolute path for a local folder, else the URL without a slash at its end.
        is_local: True where files can be used in place.
        fs: The file system of fsspec, for several files at once.
    """

    def __init__(self, url: str) -> None:
        if not url:
            raise BadInput("the store is empty: give a folder or a URL such as s3://bucket/name")
        try:  # a cached listing would hide what other processes write
            fs, root = url_to_fs(url, use_listings_cache=False, **retries(url))
        except (ImportError, ValueError) as error:
            raise BadInput(
                f"the store {url} cannot be opened ({first_line(error)}): "
                "give a folder, or a URL whose fsspec package is installed"
            ) from error
        self.fs: AbstractFileSystem = fs
        self._small = in_one_request(url)
        self.is_local = isinstance(fs, LocalFileSystem)
        self._root = os.path.abspath(root).rstrip("/") if self.is_local else root.rstrip("/")
        self.url: str = self._root or "/" if self.is_local else fs.unstrip_protocol(root)

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return type(self), (self.url,)

    def path(self, name: str) -> str:
        """Returns a file's or folder's path in `fs`."""
        return f"{self._root}/{name}"

    def check_writable(self) -> None:
        """Writes and removes one small file; folders that are missing are not made.

        Raises:
            BadInput: That failed.
        """
        folder = self._root
        while self.is_local and folder and not os.path.lexists(folder):
            folder = os.path.dirname(folder).rstrip("/")
        probe = f"{folder}/.probe-{uuid4().hex}"
        try:
            self.fs.pipe_file(probe, b"")
            if not self.is_local:
                self._check_exclusive(probe)
            self.fs.rm_file(probe)
        except Exception as error:  # every kind of store has exceptions of its own
            raise BadInput(
                f"the store {self.url} cannot be written ({first_line(error)}): "
                "give a folder or bucket that this user may write"
            ) from error

    def _check_exclusive(self, probe: str) -> None:
        """Warns where `create` replaces what is there, or looks and writes in two steps."""
        known = bool({"s3", "gs", "memory"} & set(_protocols(self.fs)))
        try:
            self.fs.pipe_file(probe, b"another", mode="create")
        except OSError:
            if known:
                return
        log.warning(
            "the store %s cannot create a file only where there is none: two drivers or clusters "
            "that start in the same moment are not kept apart", self.url
        )  # fmt: skip

    def mark(self) -> str:
        """Returns a word that only this folder bears, written on first use; "" at a remote URL."""
        if not self.is_local:
            return ""
        if self.read(MARK) is None:
            with suppress(FileExistsError):
                self.create(MARK, uuid4().hex.encode())
        return (self.read(MARK) or b"").decode()

    def check_mark(self, mark: str) -> None:
        """Refuses a folder that has the store's path, but is another one: on this node only.

        Raises:
            BadInput: It does not bear the mark.
        """
        if mark and self.read(MARK) != mark.encode():
            raise BadInput(
                f"the store {self.url} is not the same folder on node {platform.node()}: give one "
                "that every node sees, s3://bucket/name or a folder on NFS"
            )

    @asks_store()
    def read(self, name: str) -> bytes | None:
        """Returns a file's content; None where there is none."""
        try:
            content: bytes = self.fs.cat_file(self.path(name), **self._small)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return content

    @asks_store()
    def read_many(self, names: Collection[str]) -> dict[str, bytes]:
        """Returns the contents of many files at once, without those that are not there."""
        paths = [self.path(name) for name in names]  # as they are: `cat` would expand brackets
        found = self.fs.cat_ranges(paths, None, None, on_error="return", **self._small)
        for answer in found:
            if isinstance(answer, Exception) and not isinstance(answer, FileNotFoundError):
                raise answer  # nobody knows whether it is there
        both = zip(names, found, strict=True)
        return {name: answer for name, answer in both if isinstance(answer, bytes)}

    @asks_store()
    def write(self, name: str, content: Path | bytes) -> None:
        """Replaces a file in one step; a local source may be linked, so do not write into it."""
        path = self.path(name)
        if isinstance(content, Path) and not self.is_local:
            self.fs.put_file(str(content), path)
        elif isinstance(content, Path):
            with atomic_write(Path(path)) as draft:
                link_or_copy(content, draft)
        elif self.is_local:
            with atomic_write(Path(path)) as draft:
                draft.write_bytes(content)
        else:
            self.fs.pipe_file(path, content)

    @asks_store(FileExistsError)
    def create(self, name: str, content: bytes) -> None:
        """Writes a file unless there is one already, so that one of any number of writers wins.

        Atomic on folders and NFS (a link), S3 (If-None-Match) and Google Cloud (generation 0);
        elsewhere it is what fsspec makes of it, mostly a look and then a write. To be tried again
        at will: whoever finds its own content there has written it.

        Raises:
            FileExistsError: There is another.
        """
        path = self.path(name)
        try:
            if self.is_local:
                with atomic_write(Path(path), link_if_free) as draft:
                    draft.write_bytes(content)
            else:
                self.fs.pipe_file(path, content, mode="create")
        except OSError as error:  # the answer may be lost, and some have errors of their own
            there = self.read(name)
            if there is None:
                raise
            if there != content:
                raise FileExistsError(path) from error

    @asks_store()
    def fetch(self, name: str, to: Path) -> bool:
        """Puts a file at a local path, for reading; False where there is none."""
        source = self.path(name)
        try:
            with atomic_write(to) as draft:
                if self.is_local:
                    link_or_copy(Path(source), draft)
                else:
                    self.fs.get_file(source, str(draft))
        except FileNotFoundError:
            return False
        return True

    @asks_store()
    def sizes(self, folder: str) -> dict[str, int]:
        """Returns name -> bytes of all files below a folder, drafts of killed writers too."""
        path = self.path(folder)
        found = self.fs.find(path, detail=True)
        return {name[len(path) + 1 :]: info["size"] for name, info in found.items()}

    @asks_store()
    def folders(self, folder: str) -> set[str]:
        """Returns the names of what lies right in a folder: a request for a thousand of them."""
        try:
            found = self.fs.ls(self.path(folder), detail=False)
        except FileNotFoundError:
            return set()
        return {path.rstrip("/").rpartition("/")[2] for path in found}

    @asks_store()
    def remove(self, name: str) -> None:
        """Removes a file; nothing happens where there is none."""
        with suppress(FileNotFoundError):
            self.fs.rm_file(self.path(name))

    @asks_store()
    def remove_folder(self, folder: str) -> None:
        """Removes a folder with all its files; a local one vanishes in one step."""
        path = self.path(folder)
        with suppress(FileNotFoundError):  # an object store keeps no empty folder
            if not self.is_local:
                self.fs.rm(path, recursive=True)
                return
            gone = f"{path}.{uuid4().hex}{DRAFT}"
            os.rename(path, gone)
            shutil.rmtree(gone, ignore_errors=True)
