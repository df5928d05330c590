"""When a student is validated, and under which name; without torch, since planners ask too."""

from __future__ import annotations

from vpbsd.optim import Optim

DSC = "val/dsc"
VALIDATIONS = 10
"""Validations in a whole schedule: often enough to stop a student at a fifth of it."""


def validated_every(epochs: int) -> int:
    """Returns the epochs from one validation to the next in a schedule of so many.

    >>> validated_every(300)
    30
    """
    return max(1, epochs // VALIDATIONS)


def is_validated(optim: Optim, epoch: int) -> bool:
    """Tells whether a student is validated after so many epochs of its schedule.

    >>> optim = Optim(lr=0.01, epochs=300)
    >>> [epoch for epoch in range(1, 100) if is_validated(optim, epoch)]
    [30, 60, 90]
    """
    return epoch % validated_every(optim.epochs) == 0
