"""Where stage results live: committed last by a manifest, verified when read."""

import hashlib
import logging
import os
import platform
import shutil
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal
from uuid import uuid4

from pydantic import AfterValidator, BaseModel, ValidationError

from vpbsd.errors import BadInput
from vpbsd_sweeps.store.files import JSON, FileStore, bring, encode, hexadecimal, sync, whole

MARK = ".mark"
State = Literal["stored", "damaged", "absent"]
log = logging.getLogger(__name__)
_verified: set[tuple[str, str, str]] = set()  # (url, key, attempt) that this process has read


class Absent(FileNotFoundError):
    """There is no such result."""


class Damaged(RuntimeError):  # noqa: N818 (it is a state of a result)
    """A result is not what its manifest says; the message names the file."""


class Entry(BaseModel, frozen=True):
    """One file of a result: bytes and SHA-256."""

    size: int
    sha256: str


class Manifest(BaseModel, frozen=True):
    """What a committed result is; file names are relative to the attempt's folder."""

    version: Literal[1] = 1
    key: Annotated[str, AfterValidator(hexadecimal)]
    attempt: Annotated[str, AfterValidator(hexadecimal)]
    facts: dict[str, Any]
    files: dict[str, Entry]


def measure(path: Path) -> Entry:
    """Size and checksum of a local file, read in pieces."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Entry(size=path.stat().st_size, sha256=digest)


def describe(key: str, folder: Path, facts: Mapping[str, JSON]) -> Manifest:
    """The manifest of a new attempt with all files below a local folder.

    Raises:
        NotADirectoryError: the folder is none.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder whose files could be committed")
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    files = {path.relative_to(folder).as_posix(): measure(path) for path in paths}
    return Manifest(key=key, attempt=uuid4().hex, facts=dict(facts), files=files)


def differing(folder: Path, manifest: Manifest) -> str | None:
    """The first file of a local folder that is not what the manifest says, or None."""
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.is_file() or measure(path) != entry:
            return name
    return None


def claim(draft: Path, target: Path) -> None:
    """Publishes a draft only where the name is free, so that the first of two writers wins.

    Raises:
        FileExistsError: the name is taken.
    """
    try:
        os.link(draft, target)
    except FileExistsError:
        raise
    except OSError:  # no links on this file system; there the last writer wins
        os.replace(draft, target)


def settle(draft: Path, folder: Path) -> None:
    """Renames a folder, unless another process has put the same there already."""
    try:
        os.rename(draft, folder)
    except OSError:
        if not folder.is_dir():
            raise


class Store(FileStore):
    """Results of stages at any fsspec URL, beside running stages and studies.

    A result lies in ``results/<key>/<attempt>/`` and exists from the moment its
    ``results/<key>/manifest.json`` does. Attempts never share a folder, so any number of writers
    of one key are safe: the first commit is kept (on an object store the last, should two arrive
    within the same moment; both are complete).
    """

    def mark(self) -> str:
        """A word that only this folder bears, written on first use; "" where a URL says it all."""
        if not self.is_local:
            return ""
        place = Path(f"{self._root}/{MARK}")
        with suppress(FileExistsError), whole(place, claim) as draft:
            draft.write_text(uuid4().hex)
        return place.read_text()

    def check_mark(self, mark: str) -> None:
        """Refuses a folder that has the store's path, but is another one: on this node only.

        Raises:
            BadInput: It does not bear the mark.
        """
        if mark and self._get(f"{self._root}/{MARK}") != mark.encode():
            raise BadInput(
                f"the store {self.url} is not the same folder on node {platform.node()}: give one "
                "that every node sees, s3://bucket/name or a folder on NFS"
            )

    def state(self, key: str) -> State:
        """Whether a result is there with all its files at their sizes; reads no content."""
        try:
            return "absent" if self._inspect(key) is None else "stored"
        except Damaged:
            return "damaged"

    def manifest(self, key: str) -> Manifest | None:
        """The manifest of a result whose state is ``stored``, else None; reads no content."""
        with suppress(Damaged):
            return self._inspect(key)
        return None

    def open(self, key: str) -> Path:
        """A local folder with a result's files, for reading only.

        The checksums are verified once per process. A remote result is downloaded once, into
        ``$VPBSD_CACHE`` or ``~/.cache/vpbsd``.

        Raises:
            Absent: no such result.
            Damaged: it is not what its manifest says; it has been set aside and is absent now.
        """
        try:
            manifest = self._inspect(key)
            folder = None if manifest is None else self._folder(manifest)
        except Damaged as damage:
            with suppress(FileNotFoundError):  # another process may have been first
                self.set_aside(key, str(damage))
            raise
        if folder is None:
            raise Absent(f"{self.url} has no result {key}")
        return folder

    def set_aside(self, key: str, why: str = "damaged") -> str:
        """Renames a result's manifest, so that the result is absent, and warns once.

        Returns:
            The manifest's new path.

        Raises:
            FileNotFoundError: no such result.
        """
        folder = self._result(key)
        names = (f"{folder}/manifest.damaged-{n}.json" for n in count(1))
        free = next(name for name in names if not self._files.exists(name))
        self._files.mv(f"{folder}/manifest.json", free)
        log.warning("result %s of %s is set aside as %s: %s", key, self.url, free, why)
        return free

    def commit(self, key: str, folder: Path, facts: Mapping[str, JSON]) -> Manifest:
        """Makes all files of a local folder the result of a key, unless there is one already.

        A local store may link the files: the folder may be deleted afterwards, not written into.
        Empty subfolders are not kept.

        Returns:
            The manifest of the result that is stored now, the first one where there are two.
        """
        first = self._first(key)
        if first is not None:
            return first
        text = encode(describe(key, folder, facts).model_dump())
        manifest = Manifest.model_validate_json(text)
        self._upload(folder, manifest)
        try:
            self._publish(manifest, text)
        except FileExistsError:
            with suppress(FileNotFoundError):  # an object store keeps no empty folder
                self._files.rm(self._attempt(manifest), recursive=True)
            return self.commit(key, folder, facts)
        return manifest

    def _inspect(self, key: str) -> Manifest | None:
        where = f"{self._result(key)}/manifest.json"
        text = self._get(where)
        if text is None:
            return None
        try:
            manifest = Manifest.model_validate_json(text)
        except ValidationError as error:
            raise Damaged(f"{where} is no manifest of version 1") from error
        if manifest.key != key:
            raise Damaged(f"{where} belongs to {manifest.key}")
        sizes = self._sizes(self._attempt(manifest))
        for name, entry in manifest.files.items():
            if sizes.get(name) != entry.size:
                raise Damaged(f"{self._attempt(manifest)}: {name} is missing or of another size")
        return manifest

    def _first(self, key: str) -> Manifest | None:
        try:
            return self._inspect(key)
        except Damaged as damage:
            with suppress(FileNotFoundError):
                self.set_aside(key, str(damage))
        return None

    def _folder(self, manifest: Manifest) -> Path:
        folder = self._place(manifest)
        mark = (self.url, manifest.key, manifest.attempt)
        if mark in _verified and folder.is_dir():
            return folder
        check = differing if self.is_local else self._download
        bad = check(folder, manifest)
        if bad is not None:
            raise Damaged(f"{self._attempt(manifest)}: {bad} is not what was committed")
        _verified.add(mark)
        return folder

    def _place(self, manifest: Manifest) -> Path:
        if self.is_local:
            return Path(self._attempt(manifest))
        cache = Path(os.environ.get("VPBSD_CACHE") or "~/.cache/vpbsd").expanduser()
        source = hashlib.sha256(self.url.encode()).hexdigest()[:16]
        return cache / source / manifest.key / manifest.attempt

    def _download(self, folder: Path, manifest: Manifest) -> str | None:
        if folder.is_dir() and differing(folder, manifest) is None:
            return None
        shutil.rmtree(folder, ignore_errors=True)  # a cache gone bad is no fault of the store
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent) as room:
            draft = Path(room) / "files"
            draft.mkdir()
            for name in manifest.files:
                (draft / name).parent.mkdir(parents=True, exist_ok=True)
            self._files.get(self._remote(manifest), [str(draft / n) for n in manifest.files])
            bad = differing(draft, manifest)
            if bad is None:
                settle(draft, folder)
        return bad

    def _upload(self, folder: Path, manifest: Manifest) -> None:
        if not self.is_local:
            self._files.put([str(folder / n) for n in manifest.files], self._remote(manifest))
            return
        attempt = self._place(manifest)
        attempt.mkdir(parents=True)
        for name in manifest.files:
            target = attempt / name
            target.parent.mkdir(parents=True, exist_ok=True)
            bring(folder / name, target)
            sync(target)

    def _publish(self, manifest: Manifest, text: bytes) -> None:
        where = f"{self._result(manifest.key)}/manifest.json"
        if self.is_local:
            with whole(Path(where), claim) as draft:
                draft.write_bytes(text)
        elif self._files.exists(where):
            raise FileExistsError(where)
        else:
            self._files.pipe_file(where, text)

    def _result(self, key: str) -> str:
        return f"{self._root}/results/{hexadecimal(key)}"

    def _remote(self, manifest: Manifest) -> list[str]:
        return [f"{self._attempt(manifest)}/{name}" for name in manifest.files]

    def _attempt(self, manifest: Manifest) -> str:
        return f"{self._result(manifest.key)}/{manifest.attempt}"
