"""Names as people write them: what looks the same is one name, what cannot be shown is none."""

from __future__ import annotations

import re
import unicodedata

BREAKS = ("Cc", "Cs", "Zl", "Zp")
"""Categories of characters that end a line, move the cursor or are no text at all."""


def one_spelling(text: str) -> str:
    r"""Writes accents in one way: file systems and keyboards differ in it.

    >>> one_spelling("Ma\u0308use") == "M\u00e4use"
    True
    """
    return unicodedata.normalize("NFC", text)


def unprintable(text: str) -> bool:
    r"""Tells whether a text would break the line that it is printed in.

    >>> [unprintable(text) for text in ("M\u00e4use", "a\nb", "a\u2028b")]
    [False, True, True]
    """
    return any(unicodedata.category(character) in BREAKS for character in text)


def likeness(text: str) -> str:
    r"""Gives what names have in common that a reader may take for one.

    Case, separators, spaces of any kind and characters without width make no difference, nor do
    letters that only look different, as the micro sign and mu.

    >>> likeness("Mouse_1"), likeness("mouse 1"), likeness("mouse\u200b1")
    ('mouse1', 'mouse1', 'mouse1')
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    shown = "".join(c for c in folded if unicodedata.category(c) != "Cf")
    return re.sub(r"[_\-.\s]", "", shown)
