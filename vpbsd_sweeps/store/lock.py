"""One driver per study: a heartbeat in the store, stale after a minute of silence."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from shlex import quote
from typing import Any
from uuid import uuid4

from vpbsd.cli import invocation
from vpbsd.errors import BadInput
from vpbsd_sweeps.periodic import periodically
from vpbsd_sweeps.store.results import Store

BEAT, STALE = 10.0, 60.0


@contextmanager
def study_lock(study: str, store: Store) -> Iterator[None]:
    """Holds a study's lock while the block runs; its last beat says how the study was left.

    Raises:
        BadInput: Another driver holds it: where, since when, and what to do.
    """
    place, me = f"{study}/driver.json", uuid4().hex
    other = holder(study, store)
    if other is not None:
        raise BadInput(
            f"study '{study}' is being driven by process {other['pid']} on {other['host']}: wait "
            f"for it, end it, or watch it with {invocation('status')} {quote(study)} "
            f"--store {quote(store.url)}"
        )
    _beat(store, place, me, "running")
    try:
        with periodically(lambda: _beat(store, place, me, "running"), BEAT):
            yield
    finally:
        _beat(store, place, me, "ended")


def holder(study: str, store: Store) -> dict[str, Any] | None:
    """Finds the living driver of a study, if there is one.

    Returns:
        Its host, pid and the time of its last beat, or None.
    """
    driver = store.studies.read_json(f"{study}/driver.json")
    if driver is None or driver["state"] != "running" or time.time() - driver["time"] > STALE:
        return None
    if driver["host"] == platform.node() and not _alive(int(driver["pid"])):
        return None  # killed on this very host: no need to wait the minute out
    return driver


def _beat(store: Store, place: str, me: str, state: str) -> None:
    store.studies.write_json(
        place,
        {
            "id": me,
            "host": platform.node(),
            "pid": os.getpid(),
            "state": state,
            "time": time.time(),
        },
    )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
