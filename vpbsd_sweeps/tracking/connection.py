"""Finds out whether MLflow answers, and says so in one line if not: never a password."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from vpbsd.errors import BadInput
from vpbsd_sweeps.messages import reason, without_secrets

ANSWERS_WITHIN = 10.0  # seconds, for a server's first sign of life


@contextmanager
def require_reachable(uri: str) -> Iterator[None]:
    """Turns whatever goes wrong within the block, at a program's start, into one line.

    Raises:
        BadInput: MLflow does not answer; where it was looked for, and what to do.
    """
    try:
        if uri.startswith(("http://", "https://")):
            with suppress(urllib.error.HTTPError):  # whatever it says, somebody is there
                urllib.request.urlopen(f"{uri}/health", timeout=ANSWERS_WITHIN).close()
        yield
    except BadInput:
        raise
    except Exception as error:  # every kind of database has exceptions of its own
        raise BadInput(
            f"MLflow at {without_secrets(uri)} does not answer ({reason(error)}): start its "
            "server, or pass --tracking URI"
        ) from error
