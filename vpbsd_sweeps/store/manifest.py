"""The manifest of a result: what it is, with the size and checksum of every file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import uuid4

from pydantic import AfterValidator, BaseModel, Field

from vpbsd_sweeps.store.files import JSON, check_key, encode


class Entry(BaseModel, frozen=True):
    """One file of a result: bytes and SHA-256."""

    size: int
    sha256: str


class Manifest(BaseModel, frozen=True):
    """What a committed result is; file names are relative to the attempt's folder.

    Attributes:
        metadata: What cannot change the result but belongs to its story: seconds, machine,
            versions, why it is void. Stored as ``facts``.
        files: Name -> size and checksum.
    """

    version: Literal[1] = 1
    key: Annotated[str, AfterValidator(check_key)]
    attempt: Annotated[str, AfterValidator(check_key)]
    metadata: dict[str, Any] = Field(alias="facts")
    files: dict[str, Entry]

    def encode(self) -> bytes:
        """Writes the manifest as it is stored."""
        return encode(self.model_dump(by_alias=True))


def measure(path: Path) -> Entry:
    """Takes the size and checksum of a local file, read in pieces."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Entry(size=path.stat().st_size, sha256=digest)


def describe(key: str, folder: Path, metadata: Mapping[str, JSON]) -> Manifest:
    """Makes the manifest of a new attempt with all files below a local folder.

    Raises:
        NotADirectoryError: The folder is none.
        TypeError: The metadata are no JSON.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder whose files could be committed")
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    files = {path.relative_to(folder).as_posix(): measure(path) for path in paths}
    made = Manifest(key=key, attempt=uuid4().hex, facts=dict(metadata), files=files)
    return Manifest.model_validate_json(made.encode())  # as whoever reads it will see it


def differing(folder: Path, manifest: Manifest) -> str | None:
    """Finds the first file of a local folder that is not what the manifest says, or None."""
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.is_file() or measure(path) != entry:
            return name
    return None
