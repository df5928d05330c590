"""What every network takes and returns."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from vpbsd.errors import BadInput

DEEPEST = 32  # both networks halve a patch five times


def place_of(cell: int) -> int:
    """Finds the decoder feature of Light UNet and Swin UNETR whose voxels stand for cell^3.

    >>> [place_of(cell) for cell in (16, 8, 4, 2)]
    [0, 1, 2, 3]
    """
    return 5 - cell.bit_length()


class SegOutput(NamedTuple):
    """A segmentation and the features on the way to it.

    Attributes:
        logits: (B, 1 + K, D, H, W): background, then K classes.
        stages: features before any activation at 1/2, 1/4, 1/8, 1/16 and, last, 1/32 of the
            input's resolution, each (B, C_i, D_i, H_i, W_i); of V-Net after it, and down to 1/16;
            none where nothing is distilled from the network.
        decoded: features of the decoder, coarsest first; the last one is what the head sees.
    """

    logits: Tensor
    stages: tuple[Tensor, ...]
    decoded: tuple[Tensor, ...] = ()


def shape_text(sides: Sequence[int]) -> str:
    """Writes sides as people do.

    >>> shape_text((32, 64, 64))
    '32x64x64'
    """
    return "x".join(str(side) for side in sides)


def check_sides(sides: Sequence[int], deepest: int = DEEPEST) -> None:
    """Refuses a patch that a network's halvings do not divide.

    Args:
        sides: voxels along z, y, x.
        deepest: voxels along what it makes one of, 32 for five halvings.

    Raises:
        BadInput: if there are not three sides, or one is no positive multiple of that.
    """
    if len(sides) != 3 or any(side < deepest or side % deepest for side in sides):
        raise BadInput(
            f"patch {shape_text(sides)}: every one of three sides must be a multiple of "
            f"{deepest}; use 64x64x64 or 32x64x64"
        )
