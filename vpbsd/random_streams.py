"""Counter-based random streams: what is drawn depends on (seed, purpose, step) and nothing else.

So a term that is switched off, a resume, or another order of calls never shifts another stream,
and all arms of a study see the same initial student, patches and augmentations.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def stream(seed: int, purpose: str, step: int = 0) -> int:
    """A 63-bit seed of its own for each (seed, purpose, step)."""
    text = f"{seed}/{purpose}/{step}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "little") >> 1


def generator(seed: int, purpose: str, step: int = 0) -> torch.Generator:
    """A CPU generator for one purpose at one step; CPU so that every device sees one noise."""
    return torch.Generator().manual_seed(stream(seed, purpose, step))


def permutation(seed: int, purpose: str, epoch: int, n: int) -> np.ndarray:
    """The order of n items in one pass, shape (n,)."""
    return np.random.default_rng(stream(seed, purpose, epoch)).permutation(n)


@contextmanager
def initialising(seed: int, purpose: str) -> Iterator[None]:
    """Within, torch's global stream (which initialises layers) is the one of this purpose."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(seed, purpose))
        yield
