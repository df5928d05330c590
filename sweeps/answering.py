"""Whether MLflow answers, and what is said of it if not: never a password."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sweeps.running import one_line
from vpbsd.errors import BadInput

ANSWERS_WITHIN = 10.0  # seconds, for a server's first sign of life
MOST_WORDS = 200  # characters of an error, whose end names its cause


@contextmanager
def answering(uri: str) -> Iterator[None]:
    """Within, MLflow is expected to answer, as it is when a program begins.

    Raises:
        BadInput: It does not; where it was looked for, and what to do.
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


def reason(error: Exception) -> str:
    """What an error says first and last, in a line without secrets."""
    text = without_secrets(one_line(error))
    return text if len(text) <= MOST_WORDS else f"{text[:90]} ... {text[-90:]}"


def without_secrets(text: str) -> str:
    """The same, without user and password in its URLs."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", text)
