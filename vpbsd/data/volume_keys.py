"""Short keys that stand for volumes where not every name can: in MLflow and in file names."""

from __future__ import annotations

import hashlib
import re

PLAIN = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_. -]{0,58}[A-Za-z0-9_.]|[A-Za-z0-9_.]")
KEYED = re.compile(r".*-[0-9a-f]{12}")
HEAD = 32  # characters of a name that its key begins with, for people


def volume_key(name: str) -> str:
    """Gives the key of a volume: its name if short and plain, else the begin of it and a hash.

    No two names have one key, and no key is another one's name. Who knows the names of a data set
    finds the name of a key by computing the keys of all of them.

    >>> volume_key("mouse1_C00")
    'mouse1_C00'
    >>> volume_key("mouse1_[00 x 01]"), volume_key("mouse1_(00 x 01)")
    ('mouse1_00_x_01-16b898e6982b', 'mouse1_00_x_01-c3f67d511879')
    """
    if PLAIN.fullmatch(name) and not KEYED.fullmatch(name):
        return name
    head = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:HEAD]
    return f"{head}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
