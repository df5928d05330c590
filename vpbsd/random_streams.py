"""Counter-based random streams: what is drawn depends on (seed, purpose, step) and nothing else.

So a term that is switched off, a resume, or another order of calls never shifts another stream,
and all arms of a study see the same initial student, patches and augmentations. A plan draws
permutations only: torch is loaded by those who need its generators.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def stream(seed: int, purpose: str, step: int = 0) -> int:
    """Derives a 63-bit seed from (seed, purpose, step); no two of these share one.

    >>> stream(0, "noise", 1)
    7999921939291604395
    """
    text = f"{seed}/{purpose}/{step}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "little") >> 1


def generator(seed: int, purpose: str, step: int = 0) -> torch.Generator:
    """Makes a generator for one purpose at one step; on the CPU: all devices see one noise."""
    import torch

    return torch.Generator().manual_seed(stream(seed, purpose, step))


def permutation(seed: int, purpose: str, epoch: int, n: int) -> np.ndarray:
    """Draws the order of n items in one pass, shape (n,)."""
    return np.random.default_rng(stream(seed, purpose, epoch)).permutation(n)


@contextmanager
def drawing(seed: int, purpose: str, step: int = 0) -> Iterator[None]:
    """Makes torch's global stream, which dropout draws from, that of a purpose for a block."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(seed, purpose, step))
        yield


initialising = drawing
"""The same where layers take their first weights from the global stream."""
