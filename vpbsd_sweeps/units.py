"""Durations and amounts as people read them."""

from __future__ import annotations


def hours(seconds: float) -> str:
    """A duration of work, from ``12 s`` to ``3.1 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def volume(size: float) -> str:
    """An amount of data, from ``12 MB`` to ``3.1 GB``."""
    return f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"
