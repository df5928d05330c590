"""Durations and amounts as people read them."""

from __future__ import annotations


def hours(seconds: float) -> str:
    """Renders a duration of work.

    >>> hours(12), hours(600), hours(11160)
    ('12 s', '10 min', '3.1 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def volume(size: float) -> str:
    """Renders an amount of data.

    >>> volume(12e6), volume(3.1e9)
    ('12 MB', '3.1 GB')
    """
    return f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"
