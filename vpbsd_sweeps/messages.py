"""What people are told of an error: one line, no secrets."""

from __future__ import annotations

import re

MOST_WORDS = 200  # characters of an error, whose end names its cause


def reason(error: Exception) -> str:
    """What an error says first and last, in a line without secrets."""
    text = without_secrets(first_line(error))
    return text if len(text) <= MOST_WORDS else f"{text[:90]} ... {text[-90:]}"


def without_secrets(text: str) -> str:
    """The same, without user and password in its URLs."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", text)


def last_line(error: BaseException) -> str:
    """The last line that an error has to say, with its kind."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[-1] if text else 'no message'}"


def first_line(error: Exception) -> str:
    """The first line of what an exception says, or its name where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)
