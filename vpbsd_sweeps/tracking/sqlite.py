"""MLflow on a SQLite file: where it and the artefacts beside it lie."""

from __future__ import annotations

from pathlib import Path

ARTIFACTS = "artifacts"
"""Folder beside the database."""


def sqlite_file(uri: str) -> Path | None:
    """Returns the file of a SQLite URI; None for any other."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def make_folder(uri: str) -> None:
    """Makes the folder of a SQLite file; does nothing for any other URI."""
    file = sqlite_file(uri)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)


def artifacts_beside(uri: str) -> str | None:
    """Returns where MLflow on SQLite keeps files, beside the database; a server knows its own."""
    file = sqlite_file(uri)
    return None if file is None else (file.parent / ARTIFACTS).resolve().as_uri()
