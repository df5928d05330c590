"""Errors as people read them: one line, no secrets."""

from __future__ import annotations

import re

LONGEST = 200  # characters of an error, whose end names its cause


def reason(error: Exception) -> str:
    """Shortens an error to one line without secrets; a long one keeps its begin and its end.

    >>> reason(OSError("no answer from http://me:secret@host"))
    'no answer from http://host'
    """
    text = without_secrets(first_line(error))
    return text if len(text) <= LONGEST else f"{text[:90]} ... {text[-90:]}"


def without_secrets(text: str) -> str:
    """Removes user and password from the URLs of a text.

    >>> without_secrets("postgresql://me:secret@host/db")
    'postgresql://host/db'
    """
    return re.sub(r"(?<=://)[^/@\s]*@", "", text)


def last_line(error: BaseException) -> str:
    r"""Returns the last line of an error, where Ray puts the cause, with its kind.

    >>> last_line(ValueError("traceback\nthe loss is not finite"))
    'ValueError: the loss is not finite'
    """
    lines = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {lines[-1]}"


def first_line(error: Exception) -> str:
    """Returns the first line of an error, or its kind where it has no message.

    >>> first_line(KeyError())
    'KeyError'
    """
    return next(iter(str(error).splitlines()), type(error).__name__)
