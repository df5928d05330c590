"""Targets: what students learn of a frozen teacher, computed once per patch and stored.

One patch at a time and untransformed: a target depends on nothing but the patch, and the turn of
an augmentation is applied to image and target alike. Students never load the teacher.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from pydantic import TypeAdapter
from torch import Tensor
from zarr.storage import ZipStore

from vpbsd.data.augment import turned
from vpbsd.data.turns import Turn, turns_of
from vpbsd.data.volumes import triple
from vpbsd.losses.classes import decided, margins
from vpbsd.losses.segmentation import vessel_probability
from vpbsd.networks.quantiser import grid_of
from vpbsd.networks.swin_unetr import SwinTeacher

FILE = "targets.zarr.zip"
LARGEST_MARGIN = 30.0
"""Beyond it a probability is 0 or 1 to 1e-13; within it float16 moves none by more than 1.1e-4."""


@torch.no_grad()
def compute_targets(teacher: SwinTeacher, image: Tensor, field: str) -> Tensor:
    """Computes one field of the teacher's answer to patches.

    Args:
        teacher: In eval mode.
        image: Untransformed patches (B, 1, D, H, W) in [0, 1].
        field: `codes`: the nearest code words (B, d_s, d, h, w); `pseudo`: the argmax masks of
            the foreground classes (B, K, D, H, W), 0 and 1; `features`: the deepest state
            (B, d_t, d, h, w); `features16`: that at 1/16 of the resolution
            (B, d_t / 2, 2 d, 2 h, 2 w); `margin`: the logits' differences f_k - f_0
            (B, K, D, H, W), clamped to [-30, 30].

    Returns:
        float32, but margins in float16.
    """
    if field in ("pseudo", "margin"):
        logits = teacher(image).logits.float()
        if field == "pseudo":
            return decided(vessel_probability(logits))
        return margins(logits).clamp(-LARGEST_MARGIN, LARGEST_MARGIN).half()
    *_, features16, features = hidden = teacher.encode(image)
    if field != "codes":
        return (features if field == "features" else features16).float()
    assert teacher.quantiser is not None, "codes come from a teacher with a codebook"
    state = teacher.coded_state(hidden)
    record = teacher.quantiser(state)[1]
    return grid_of(record.chosen, tuple(state.shape[2:])).float()


def write_targets(folder: Path, field: str, targets: Sequence[NDArray[np.generic]]) -> None:
    """Stores one target per patch; masks as bits, margins as float16, the rest as float32."""
    values = np.stack(targets)
    with ZipStore(folder / FILE, mode="w") as store:
        group = zarr.create_group(store, attributes={"field": field, "shape": values.shape[1:]})
        plain = np.packbits(values.reshape(len(values), -1) > 0, axis=1)
        real = np.float16 if field == "margin" else np.float32
        kept = plain if field == "pseudo" else values.astype(real)
        group.create_array(field, data=kept, chunks=(min(len(kept), 64), *kept.shape[1:]))


@torch.no_grad()
def turned_codes(teacher: SwinTeacher, image: Tensor) -> Tensor:
    """Finds the codes of a patch as the teacher sees it in every turn.

    Swin encoders are not equivariant: after a flip or a quarter turn 35 to 80 % of tokens keep
    their code, so that a turned code map contradicts the turned image (measured).

    Args:
        teacher: In eval mode, with a codebook.
        image: One untransformed patch (1, 1, D, H, W) in [0, 1].

    Returns:
        int16 (turns, d, h, w): numbers of code words, turns as `turns_of` lists them.
    """
    assert teacher.quantiser is not None, "codes come from a teacher with a codebook"
    seen = []
    for turn in turns_of(triple(image.shape[2:])):
        state = teacher.coded_state(teacher.encode(turned(image, turn)))
        nearest = teacher.quantiser(state)[1].nearest
        seen.append(nearest.reshape(state.shape[2:]).to(torch.int16))
    return torch.stack(seen)


def write_turned_codes(
    folder: Path, numbers: Sequence[NDArray[np.generic]], words: NDArray[np.float32]
) -> None:
    """Stores the numbers of the codes of every patch and turn, and the code words (N, d_s)."""
    values = np.stack(numbers)
    with ZipStore(folder / FILE, mode="w") as store:
        group = zarr.create_group(store, attributes={"field": "codes", "turned": True})
        group.create_array("words", data=words)
        chunks = (min(len(values), 64), *values.shape[1:])
        group.create_array("numbers", data=values, chunks=chunks)


def are_turned(folder: Path) -> bool:
    """Tells whether the result of a targets stage holds codes of every turn."""
    with ZipStore(folder / FILE, mode="r") as store:
        return bool(zarr.open_group(store, mode="r").attrs.get("turned", False))


class StoredTurnedCodes:
    """The stored code words of every turn of the patches, in the order of the patches.

    Args:
        folder: The result of a targets stage of turned codes.
        turns: Those of the patches, see `turns_of`.
    """

    def __init__(self, folder: Path, turns: Sequence[Turn]) -> None:
        with ZipStore(folder / FILE, mode="r") as store:
            self._numbers, self._words = (
                np.asarray(zarr.open_array(store, path=name, mode="r")[:])
                for name in ("numbers", "words")
            )
        self._place = {turn: place for place, turn in enumerate(turns)}

    def __len__(self) -> int:
        return len(self._numbers)

    def seen(self, i: int, turn: Turn) -> NDArray[np.float32]:
        """Reads the code words (d_s, d, h, w) of patch i as the teacher sees it turned so."""
        numbers = self._numbers[i, self._place[turn.canonical]]
        return np.asarray(np.moveaxis(self._words[numbers], -1, 0), np.float32)


class StoredTargets:
    """The stored targets of one field, in the order of the patches.

    Args:
        folder: The result of a targets stage.
        field: Which one.
    """

    def __init__(self, folder: Path, field: str) -> None:
        with ZipStore(folder / FILE, mode="r") as store:
            group = zarr.open_group(store, mode="r")
            self._shape: tuple[int, ...] = TypeAdapter(tuple[int, ...]).validate_python(
                group.attrs["shape"]
            )
            self._kept = np.asarray(zarr.open_array(store, path=field, mode="r")[:])
        self._bits = field == "pseudo"

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, i: int) -> NDArray[np.float32]:
        """Reads the target of patch i, float32, without a batch axis."""
        if not self._bits:
            return np.asarray(self._kept[i], np.float32)
        count = int(np.prod(self._shape))
        return np.unpackbits(self._kept[i], count=count).reshape(self._shape).astype(np.float32)
