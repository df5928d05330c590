"""Files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """Yields a name beside a file's; what is written there takes the file's place at the end.

    The name ends as the file's does, by which some writers know the format. Where the body raises,
    the draft is deleted, and a file that was there is as it was.
    """
    draft = path.with_name(f".partial.{path.name}")
    try:
        yield draft
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
