"""Batches: what they hold, and the functions that draw them. B batch, D H W the patch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, Protocol, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vpbsd.data.augment import random_turns, stacked, turned_view
from vpbsd.data.correspondence import corresponding
from vpbsd.data.lattice import PatchSet
from vpbsd.data.turns import STILL, Turn
from vpbsd.distributed import own_slice
from vpbsd.random_streams import permutation

T = TypeVar("T")


class PatchArrays(Protocol):
    """One array per patch, by the number of the patch."""

    def __getitem__(self, i: int, /) -> NDArray[np.float32]:
        """Gives the array of patch i, without a batch axis."""


class TurnedArrays(Protocol):
    """One array per patch and turn, where what was seen depends on the turn."""

    def seen(self, i: int, turn: Turn, /) -> NDArray[np.float32]:
        """Gives the array of patch i as it is when the patch was turned."""


class TeacherTargets(NamedTuple):
    """What students learn of the frozen teacher, turned with the patches; None: not needed."""

    codes: Tensor | None = None
    """Code words (B, d_s, d, h, w) on the bottleneck's grid."""
    pseudo: Tensor | None = None
    """Hard pseudo-label (B, K, D, H, W), 0 or 1."""
    features: Tensor | None = None
    """The teacher's deepest state (B, d_t, d, h, w)."""
    features16: Tensor | None = None
    """The state before it, at 1/16 of the resolution (B, d_t / 2, 2 d, 2 h, 2 w)."""
    margin: Tensor | None = None
    """Logits of classes minus that of background (B, K, D, H, W), in [-30, 30]."""


class Labelled(NamedTuple):
    """Patches with a label (B, K, D, H, W); image and validity are (B, 1, D, H, W)."""

    image: Tensor
    label: Tensor
    valid: Tensor
    targets: TeacherTargets


class Unlabelled(NamedTuple):
    """Patches without; a label cannot be read here, whatever the volume has."""

    image: Tensor
    valid: Tensor
    targets: TeacherTargets


class Semi(NamedTuple):
    """A labelled and an unlabelled batch, two things with two names."""

    labelled: Labelled
    unlabelled: Unlabelled | None


@dataclass(frozen=True)
class PatchesWithTargets:
    """A patch set and the teacher's targets for each patch of it.

    Attributes:
        patches: The patches.
        targets: Field of `TeacherTargets` -> one array per patch, in the order of the patches.
        seen_turned: The same for fields that were computed for every turn of a patch.
    """

    patches: PatchSet
    targets: Mapping[str, PatchArrays]
    seen_turned: Mapping[str, TurnedArrays] = field(default_factory=dict)


@dataclass(frozen=True)
class Pool:
    """Everything a training may draw from.

    Attributes:
        labelled: Patches with a label; None where the method draws none.
        unlabelled: Patches without; None likewise.
        batch: Patches of each kind in one step, over all processes.
        seed: Of the order and of the turns.
        augment: Whether patches are flipped and turned.
    """

    labelled: PatchesWithTargets | None
    unlabelled: PatchesWithTargets | None
    batch: int
    seed: int
    augment: bool

    def steps_per_pass(self, draws: Callable[[Self, int], object]) -> int:
        """Counts the steps of one pass over the patches: labelled ones, where they are drawn."""
        alone = draws in (draw_unlabelled, draw_corresponding)
        drawn = self.unlabelled if alone else self.labelled
        assert drawn is not None, "a stage draws from patches it was given"
        return -(-len(drawn.patches) // self.batch)


def draw_labelled(pool: Pool, step: int) -> Labelled:
    """Draws the labelled batch of a step: each patch once per pass, each pass in a fresh order."""
    assert pool.labelled is not None
    chosen, turns = _chosen(pool, pool.labelled, "labelled", step)
    patches = pool.labelled.patches
    return Labelled(
        image=_stack(patches.image, chosen, turns),
        label=_stack(patches.label, chosen, turns),
        valid=_stack(patches.valid, chosen, turns),
        targets=_targets(pool.labelled, chosen, turns),
    )


def draw_unlabelled(pool: Pool, step: int) -> Unlabelled:
    """Draws the unlabelled batch of a step, from streams of its own."""
    assert pool.unlabelled is not None
    return _unlabelled(pool.unlabelled, *_chosen(pool, pool.unlabelled, "unlabelled", step))


def draw_corresponding(pool: Pool, step: int) -> Unlabelled:
    """Draws patches of different volumes from corresponding places, all turned alike.

    Each patch is the anchor once per pass over as many steps; there are at least two patches,
    whatever the batch, and at most one of each volume.
    """
    assert pool.unlabelled is not None
    n = len(pool.unlabelled.patches)
    anchor = int(_order(pool.seed, "corresponding order", step // n, n)[step % n])
    count = max(2, pool.batch)
    chosen = corresponding(pool.unlabelled.patches, anchor, count, pool.seed, step)
    _, height, width = pool.unlabelled.patches.data.patch
    turns = [STILL]
    if pool.augment:
        turns = random_turns(pool.seed, "corresponding turns", step, 1, height == width)
    return _unlabelled(pool.unlabelled, chosen, turns * len(chosen))


def draw_semi(pool: Pool, step: int) -> Semi:
    """Draws both; the labelled half is the very batch that `draw_labelled` gives at this step.

    A stage that was given no unlabelled patches (an arm without such a term) gets None.
    """
    unlabelled = draw_unlabelled(pool, step) if pool.unlabelled is not None else None
    return Semi(draw_labelled(pool, step), unlabelled)


def to_device(batch: T, device: torch.device) -> T:
    """Copies every tensor of a batch to a device; what is None stays None."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)  # type: ignore[return-value]
    if isinstance(batch, tuple):
        return type(batch)(*(to_device(part, device) for part in batch))
    return batch


_order = lru_cache(maxsize=8)(permutation)
"""The order of a pass, which each of its steps asks for."""


def _unlabelled(source: PatchesWithTargets, chosen: list[int], turns: list[Turn]) -> Unlabelled:
    return Unlabelled(
        image=_stack(source.patches.image, chosen, turns),
        valid=_stack(source.patches.valid, chosen, turns),
        targets=_targets(source, chosen, turns),
    )


def _chosen(
    pool: Pool, source: PatchesWithTargets, purpose: str, step: int
) -> tuple[list[int], list[Turn]]:
    """Chooses the patches of a step and their turns: this process's part of the batch."""
    n = len(source.patches)
    # Places count on through all passes, so a batch may span two of them and none is short.
    places = range(step * pool.batch, (step + 1) * pool.batch)
    chosen = [int(_order(pool.seed, f"{purpose} order", p // n, n)[p % n]) for p in places]
    _, height, width = source.patches.data.patch
    turns = [STILL] * len(chosen)
    if pool.augment:
        purpose = f"{purpose} turns"
        turns = random_turns(pool.seed, purpose, step, len(chosen), height == width)
    mine = own_slice(len(chosen))
    return chosen[mine], turns[mine]


def _stack(
    read: Callable[[int], NDArray[np.float32]], chosen: list[int], turns: list[Turn]
) -> Tensor:
    patches = [turned_view(read(i), turn) for i, turn in zip(chosen, turns, strict=True)]
    return torch.from_numpy(stacked([x if x.ndim == 4 else x[None] for x in patches]))


def _targets(source: PatchesWithTargets, chosen: list[int], turns: list[Turn]) -> TeacherTargets:
    pairs = list(zip(chosen, turns, strict=True))

    def of(name: str) -> Tensor | None:
        if name in source.seen_turned:
            seen = source.seen_turned[name].seen
            return torch.stack([torch.from_numpy(seen(i, turn)) for i, turn in pairs])
        if name not in source.targets:
            return None
        values = source.targets[name]
        return torch.from_numpy(stacked([turned_view(values[i], turn) for i, turn in pairs]))

    return TeacherTargets(*(of(name) for name in TeacherTargets._fields))
