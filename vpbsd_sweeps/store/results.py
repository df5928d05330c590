"""Where stage results live: committed last by a manifest, verified when read."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from pydantic import ValidationError

from vpbsd_sweeps.patience import asks_store
from vpbsd_sweeps.store.checkpoints import Checkpoints
from vpbsd_sweeps.store.files import JSON, FileStore, check_key
from vpbsd_sweeps.store.local_files import link_or_copy, sync
from vpbsd_sweeps.store.manifest import Manifest, describe, differing
from vpbsd_sweeps.store.studies import Studies

State = Literal["stored", "damaged", "absent"]
log = logging.getLogger(__name__)
_verified: set[tuple[str, str, str]] = set()  # (url, key, attempt) that this process has read


class Absent(FileNotFoundError):
    """There is no such result."""


class Damaged(RuntimeError):  # noqa: N818 (it is a state of a result)
    """A result is not what its manifest says; the message names the file."""


def checked(
    files: FileStore, key: str, text: bytes, sizes_of: Callable[[str], Mapping[str, int]]
) -> Manifest:
    """Reads the manifest of a result and compares it with the sizes of what is there.

    Raises:
        Damaged: It is no manifest of this result, or a file is missing or of another size.
    """
    where = files.path(f"{_result(key)}/manifest.json")
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        raise Damaged(f"{where} is no manifest of version 1") from error
    if manifest.key != key:
        raise Damaged(f"{where} belongs to {manifest.key}")
    attempt = _attempt(manifest)
    sizes = sizes_of(attempt)
    for file, entry in manifest.files.items():
        if sizes.get(file) != entry.size:
            raise Damaged(f"{files.path(attempt)}: {file} is missing or of another size")
    return manifest


def settle(draft: Path, folder: Path) -> None:
    """Renames a folder, unless another process has put the same there already."""
    try:
        os.rename(draft, folder)
    except OSError:
        if not folder.is_dir():
            raise


class Store:
    """Results of stages at any fsspec URL, beside running stages and studies.

    A result lies in ``results/<key>/<attempt>/`` and exists from the moment its
    ``results/<key>/manifest.json`` does. Attempts never share a folder, so any number of writers
    of one key are safe: the first commit is kept.

    Attributes:
        files: Where all of it lies.
        url: Of the files: an absolute path for a local folder.
        checkpoints: What running stages keep.
        studies: What studies keep.
    """

    def __init__(self, url: str) -> None:
        self.files = FileStore(url)
        self.url = self.files.url
        self.checkpoints, self.studies = Checkpoints(self.files), Studies(self.files)

    def inspect(self, key: str) -> tuple[State, Manifest | None]:
        """Looks whether a result is there with all its files at their sizes; reads no content.

        Returns:
            ``stored`` and its manifest; else ``damaged`` or ``absent``, and None.
        """
        try:
            manifest = self._checked(key)
        except Damaged:
            return "damaged", None
        return ("absent", None) if manifest is None else ("stored", manifest)

    def state(self, key: str) -> State:
        """Looks up a result's state; see `inspect`."""
        return self.inspect(key)[0]

    def manifest(self, key: str) -> Manifest | None:
        """Reads the manifest of a result whose state is ``stored``; else None."""
        return self.inspect(key)[1]

    @asks_store(Absent, Damaged)
    def open(self, key: str) -> Path:
        """Returns a local folder with a result's files, for reading only.

        The checksums are verified once per process. A remote result is downloaded once, into
        ``$VPBSD_CACHE`` or ``~/.cache/vpbsd``.

        Raises:
            Absent: There is no such result.
            Damaged: It is not what its manifest says; it has been set aside and is absent now.
        """
        with self._setting_aside(key):
            return self._folder(self._present(key))

    @asks_store(Absent, Damaged)
    def read(self, key: str, *patterns: str) -> dict[str, bytes]:
        """Reads some files of a result alone, such as ``*.json``; their checksums are verified.

        Returns:
            Name -> content of each that fits one of the patterns.

        Raises:
            Absent: There is no such result.
            Damaged: It is not what its manifest says; it has been set aside and is absent now.
        """
        with self._setting_aside(key):
            manifest = self._present(key)
            folder = _attempt(manifest)
            fitting = [n for n in manifest.files if any(fnmatch(n, p) for p in patterns)]
            contents = self.files.read_many([f"{folder}/{name}" for name in fitting])
            found = {name: contents.get(f"{folder}/{name}", b"") for name in fitting}
            for name, content in found.items():
                if hashlib.sha256(content).hexdigest() != manifest.files[name].sha256:
                    where = self.files.path(folder)
                    raise Damaged(f"{where}: {name} is not what was committed")
            return found

    def read_json(self, key: str, name: str) -> Any:  # noqa: ANN401 (JSON)
        """Reads a JSON file of a result alone; raises as `read` does."""
        return json.loads(self.read(key, name)[name])

    def set_aside(self, key: str, why: str = "damaged") -> str:
        """Renames a result's manifest, so that the result is absent, and warns once.

        Returns:
            The manifest's new path.

        Raises:
            FileNotFoundError: There is no such result.
        """
        folder, fs = self.files.path(_result(key)), self.files.fs
        names = (f"{folder}/manifest.damaged-{n}.json" for n in count(1))
        free = next(name for name in names if not fs.exists(name))
        fs.mv(f"{folder}/manifest.json", free)
        log.warning("result %s of %s is set aside as %s: %s", key, self.url, free, why)
        return free

    def commit(self, key: str, folder: Path, metadata: Mapping[str, JSON]) -> Manifest:
        """Makes all files of a local folder the result of a key, unless there is one already.

        A local store may link the files: the folder may be deleted afterwards, not written into.
        Empty subfolders are not kept.

        Returns:
            The manifest of the result that is stored now, the first one where there are two.
        """
        first = self._first(key)
        if first is not None:
            return first
        manifest = describe(key, folder, metadata)
        self._upload(folder, manifest)
        try:
            self.files.create(f"{_result(key)}/manifest.json", manifest.encode())
        except FileExistsError:
            self.files.remove_folder(_attempt(manifest))
            return self.commit(key, folder, metadata)
        return manifest

    def _checked(self, key: str) -> Manifest | None:
        """Reads a manifest and compares it with the names and sizes of its files."""
        name = f"{_result(key)}/manifest.json"
        text = self.files.read(name)
        return None if text is None else checked(self.files, key, text, self.files.sizes)

    def _first(self, key: str) -> Manifest | None:
        """Finds the result that is there already; a damaged one is set aside."""
        with suppress(Damaged), self._setting_aside(key):
            return self._checked(key)
        return None

    def _present(self, key: str) -> Manifest:
        manifest = self._checked(key)
        if manifest is None:
            raise Absent(f"{self.url} has no result {key}")
        return manifest

    @contextmanager
    def _setting_aside(self, key: str) -> Iterator[None]:
        """Sets a result aside where the block finds that it is damaged."""
        try:
            yield
        except Damaged as damage:
            with suppress(FileNotFoundError):  # another process may have been first
                self.set_aside(key, str(damage))
            raise

    def _folder(self, manifest: Manifest) -> Path:
        """Returns the local folder of a result after its checksums were verified."""
        folder = self._place(manifest)
        mark = (self.url, manifest.key, manifest.attempt)
        if mark in _verified and folder.is_dir():
            return folder
        check = differing if self.files.is_local else self._download
        bad = check(folder, manifest)
        if bad is not None:
            where = self.files.path(_attempt(manifest))
            raise Damaged(f"{where}: {bad} is not what was committed")
        _verified.add(mark)
        return folder

    def _place(self, manifest: Manifest) -> Path:
        if self.files.is_local:
            return Path(self.files.path(_attempt(manifest)))
        cache = Path(os.environ.get("VPBSD_CACHE") or "~/.cache/vpbsd").expanduser()
        source = hashlib.sha256(self.url.encode()).hexdigest()[:16]
        return cache / source / manifest.key / manifest.attempt

    def _download(self, folder: Path, manifest: Manifest) -> str | None:
        """Fills the cache; returns the first file that is not what was committed, or None."""
        if folder.is_dir() and differing(folder, manifest) is None:
            return None
        shutil.rmtree(folder, ignore_errors=True)  # a cache gone bad is no fault of the store
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent) as room:
            draft = Path(room) / "files"
            draft.mkdir()
            for name in manifest.files:
                (draft / name).parent.mkdir(parents=True, exist_ok=True)
            self.files.fs.get(self._remote(manifest), [str(draft / n) for n in manifest.files])
            bad = differing(draft, manifest)
            if bad is None:
                settle(draft, folder)
        return bad

    def _upload(self, folder: Path, manifest: Manifest) -> None:
        if not self.files.is_local:
            self.files.fs.put([str(folder / n) for n in manifest.files], self._remote(manifest))
            return
        attempt = self._place(manifest)
        attempt.mkdir(parents=True)
        for name in manifest.files:
            target = attempt / name
            target.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(folder / name, target)
            sync(target)

    def _remote(self, manifest: Manifest) -> list[str]:
        folder = self.files.path(_attempt(manifest))
        return [f"{folder}/{name}" for name in manifest.files]


def _result(key: str) -> str:
    return f"results/{check_key(key)}"


def _attempt(manifest: Manifest) -> str:
    return f"{_result(manifest.key)}/{manifest.attempt}"
