"""Local files that appear in one step, or get a second name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

DRAFT = ".draft"


def sync(path: Path) -> None:
    """Asks the disk to keep a local file, or a folder's list of names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def link_or_copy(source: Path, target: Path) -> None:
    """Gives a local file a second name; copies where the file system cannot."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copyfile(source, target)


def link_if_free(draft: Path, target: Path) -> None:
    """Publishes a draft only where the name is free, so that the first of two writers wins.

    Raises:
        FileExistsError: The name is taken.
    """
    try:
        os.link(draft, target)
    except FileExistsError:
        raise
    except OSError:  # no links on this file system: an empty file takes the name
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.replace(draft, target)


@contextmanager
def atomic_write(
    target: Path, publish: Callable[[Path, Path], None] = os.replace
) -> Iterator[Path]:
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
