"""MLflow on a SQLite file: where it and the artefacts beside it lie."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

ARTIFACTS = "artifacts"
"""Folder beside the database."""
PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Where MLflow's tables name folders in full."""


def sqlite_file(uri: str) -> Path | None:
    """Returns the file of a SQLite URI; None for any other."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def artifacts_beside(uri: str) -> str | None:
    """Returns where MLflow on SQLite keeps files, beside the database; a server knows its own."""
    file = sqlite_file(uri)
    return None if file is None else (file.parent / ARTIFACTS).resolve().as_uri()


def prepare(uri: str) -> None:
    """Makes the folder of a SQLite file, and lets one that was moved find what moved with it.

    MLflow writes down where artefacts lie in full. Where a database names another folder than the
    one beside it, and its runs' artefacts are in the latter, it was moved or copied together with
    them. Does nothing for any other URI.
    """
    file = sqlite_file(uri)
    if file is None:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = (file.parent / ARTIFACTS).resolve()
    if file.is_file() and beside.is_dir():
        with closing(sqlite3.connect(file)) as database, database:
            for old in _moved(database, beside):
                _repoint(database, old, beside.as_uri())


def _moved(database: sqlite3.Connection, beside: Path) -> list[str]:
    """Finds the folders that a database names where its artefacts no longer lie."""
    if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone():
        return []
    named = database.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
    ours = [str(place) for (place,) in named if str(place).startswith("file://")]
    return [
        place
        for place in ours
        if place.endswith(f"/{ARTIFACTS}")
        and place != beside.as_uri()
        and not _same(Path(unquote(urlsplit(place).path)), beside)
        and _holds_runs(database, place, beside)
    ]


def _same(one: Path, other: Path) -> bool:
    return one.exists() and one.samefile(other)


def _holds_runs(database: sqlite3.Connection, place: str, beside: Path) -> bool:
    runs = database.execute(
        "SELECT run_uuid FROM runs JOIN experiments USING (experiment_id) "
        "WHERE artifact_location = ?",
        (place,),
    )
    return any((beside / str(run)).is_dir() for (run,) in runs)


def _repoint(database: sqlite3.Connection, old: str, new: str) -> None:
    for table, column in PLACES:
        database.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
            f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
            (new, len(old) + 1, old, len(old) + 1, f"{old}/"),
        )
