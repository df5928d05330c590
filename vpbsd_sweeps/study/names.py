"""Which names a study may have: those of a folder, an experiment and a model anywhere."""

from __future__ import annotations

from vpbsd.errors import BadInput
from vpbsd.spelling import one_spelling, unprintable

FORBIDDEN = '/\\:*?"<>|[]'
LONGEST = 100  # bytes; names of parts of it are longer
SHOWN = 60  # characters


def study_named(text: str) -> str:
    """Returns the name of a study, its accents written in one way.

    Raises:
        BadInput: Some file system, MLflow's registry or a command line would not take it.

    >>> study_named("gamma half (2)")
    'gamma half (2)'
    """
    name = one_spelling(text)
    odd = sorted(set(name) & set(FORBIDDEN))
    if unprintable(name):
        why = "a character in it cannot be printed"
    elif odd:
        why = f"leave out {' '.join(odd)}"
    elif not name or name != name.strip(" .") or name.startswith("-"):
        why = "begin with a letter or digit, and end with no space or dot"
    elif (size := len(name.encode())) > LONGEST:
        why = f"it takes {size} bytes, use {LONGEST} at most"
    else:
        return name
    shown = name if len(name) <= SHOWN else f"{name[:SHOWN]}…"
    raise BadInput(f"no study can have the name {shown!r}: {why}")
