"""Dimension alignment (DA): between the teacher's channels d_t and the code width d_s.

Grids are (B, channels, z, y, x). VpbSD, section 3.4, names a linear layer, a 1x1 convolution and
channel selection; the first two are the same family of maps and differ in their start only.
"""

from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

from vpbsd.errors import BadInput
from vpbsd.networks.output import shape_text

Kind = Literal["conv1", "linear", "chsel", "linear_flat"]
Grid = tuple[int, int, int]


class Conv1(nn.Conv3d):
    """1x1x1 convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=1)


class Linear(nn.Linear):
    """One linear layer, applied to every token of the grid."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps every token, (B, d_in, z, y, x) -> (B, d_out, z, y, x)."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class LinearFlat(nn.Module):
    """One linear layer over the whole flattened grid: tokens see each other."""

    def __init__(self, in_channels: int, out_channels: int, grid: Grid) -> None:
        super().__init__()
        self.grid = grid
        self.linear = nn.Linear(in_channels * prod(grid), out_channels * prod(grid))

    def forward(self, x: Tensor) -> Tensor:
        """Maps the grid as one vector, (B, d_in, *grid) -> (B, d_out, *grid).

        Raises:
            BadInput: if the grid is not the one the layer was built for.
        """
        if tuple(x.shape[2:]) != self.grid:
            raise BadInput(
                f"linear_flat alignment was built for a grid of {shape_text(self.grid)}, got "
                f"{shape_text(x.shape[2:])}; use one patch size throughout, or da=conv1"
            )
        flat: Tensor = self.linear(x.flatten(1))
        return flat.reshape(len(x), -1, *self.grid)


class ChannelSelection(nn.Module):
    """Keeps a fixed set of channels: the first ones until ``select`` has chosen others.

    Attributes:
        index: (d_s,), numbers of the channels kept, ascending.
    """

    index: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        if out_channels > in_channels:
            raise BadInput(f"cannot select {out_channels} of {in_channels} channels; use da=conv1")
        self.register_buffer("index", torch.arange(out_channels))

    def select(self, variance: Tensor) -> None:
        """Chooses the channels of highest variance, in their own order; ties go to the first.

        Args:
            variance: (d_t,), measured once over a calibration set.

        >>> selection = ChannelSelection(4, 2)
        >>> selection.select(torch.tensor([0.1, 2.0, 0.3, 1.0]))
        >>> selection.index.tolist()
        [1, 3]
        """
        ranked = torch.argsort(variance, descending=True, stable=True)
        self.index.copy_(ranked[: len(self.index)].sort().values)

    def forward(self, x: Tensor) -> Tensor:
        """Selects channels, (B, d_t, z, y, x) -> (B, d_s, z, y, x)."""
        return x.index_select(1, self.index)


class ChannelScatter(nn.Module):
    """Puts selected channels back where they came from, zeros elsewhere."""

    def __init__(self, selection: ChannelSelection, out_channels: int) -> None:
        super().__init__()
        self.out_channels = out_channels
        # In a tuple, so that it is no submodule: the index belongs to, and is saved with, the
        # selection alone and cannot fall out of step with it.
        self._selection = (selection,)

    def forward(self, x: Tensor) -> Tensor:
        """Scatters channels, (B, d_s, z, y, x) -> (B, d_t, z, y, x)."""
        empty = x.new_zeros(x.shape[0], self.out_channels, *x.shape[2:])
        return empty.index_copy(1, self._selection[0].index, x)


def alignment(
    kind: Kind, teacher_channels: int, student_channels: int, grid: Grid
) -> tuple[nn.Module, nn.Module]:
    """Builds both directions of one alignment.

    Args:
        kind: ``conv1`` and ``linear`` mix channels per token, ``linear_flat`` over the whole
            grid, ``chsel`` selects channels.
        teacher_channels: d_t.
        student_channels: d_s.
        grid: tokens along z, y, x; only ``linear_flat`` depends on it.

    Returns:
        (dn, up) with dn: d_t -> d_s and up: d_s -> d_t.

    Raises:
        BadInput: if d_s channels cannot be selected among d_t.

    >>> dn, up = alignment("conv1", 192, 32, (2, 2, 2))
    >>> up(dn(torch.zeros(1, 192, 2, 2, 2))).shape
    torch.Size([1, 192, 2, 2, 2])
    """
    if kind == "chsel":
        selection = ChannelSelection(teacher_channels, student_channels)
        return selection, ChannelScatter(selection, teacher_channels)
    return (
        _mix(kind, teacher_channels, student_channels, grid),
        _mix(kind, student_channels, teacher_channels, grid),
    )


def _mix(kind: Kind, in_channels: int, out_channels: int, grid: Grid) -> nn.Module:
    if kind == "linear_flat":
        return LinearFlat(in_channels, out_channels, grid)
    if kind == "linear":
        return Linear(in_channels, out_channels)
    return Conv1(in_channels, out_channels)
