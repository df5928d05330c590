"""Which voxels MCSC contrasts: blocks of feature maps, put together in groups from many places."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from vpbsd.losses.classes import class_numbers

BLOCKS = {2: 8, 4: 8, 8: 4}
"""Side in voxels of a feature map's blocks, by how many voxels of the patch one stands for."""


class Voxels(NamedTuple):
    """Voxels of blocks: features (..., c), numbers of their classes (...), whether real (...)."""

    features: Tensor
    labels: Tensor
    real: Tensor


def draw_blocks(
    feature: Tensor, label: Tensor, valid: Tensor, most: int, generator: torch.Generator
) -> Voxels:
    """Draws blocks of a feature map, for each patch in an order of its own.

    Labels are those of the first voxel that a feature stands for, as resizing to the nearest does.

    Args:
        feature: (B, c, D / cell, H / cell, W / cell), cell 2, 4 or 8.
        label: (B, K, D, H, W), 0 or 1.
        valid: (B, 1, D, H, W), 0 on padded voxels.
        most: blocks of a patch.
        generator: on the CPU.

    Returns:
        (B, blocks, voxels of a block, ...).
    """
    cell = label.shape[-1] // feature.shape[-1]
    side = BLOCKS[cell]
    numbers = class_numbers(label).unsqueeze(1).to(feature.dtype)
    marks = torch.cat([numbers, valid.to(feature.dtype)], 1)[:, :, ::cell, ::cell, ::cell]
    cubes, told = blocks_of(feature, side), blocks_of(marks, side)
    order = torch.stack([torch.randperm(cubes.shape[1], generator=generator) for _ in cubes])
    chosen = order[:, :most].to(feature.device)
    rows = torch.arange(len(cubes), device=feature.device)[:, None]
    label, real = told[rows, chosen].unbind(-1)
    return Voxels(cubes[rows, chosen], label, real > 0)


def groups_of(drawn: list[Voxels]) -> Iterator[Voxels]:
    """Puts the n-th blocks of all patches together, (n, ...), for each n."""
    every = Voxels(*(torch.cat(parts) for parts in zip(*drawn, strict=True)))
    for group in range(every.labels.shape[1]):
        yield Voxels(*(part[:, group].flatten(0, 1) for part in every))


def blocks_of(x: Tensor, side: int) -> Tensor:
    """Cuts a map into cubes, (B, c, d, h, w) -> (B, cubes, side^3, c); the side divides d, h, w.

    >>> blocks_of(torch.arange(16.0).view(1, 1, 2, 2, 4), 2)[0, :, :, 0].tolist()[1]
    [2.0, 3.0, 6.0, 7.0, 10.0, 11.0, 14.0, 15.0]
    """
    for axis in (2, 3, 4):
        x = x.unfold(axis, side, side)
    cubes = x.flatten(5).flatten(2, 4)  # (B, c, cubes, side^3)
    return cubes.permute(0, 2, 3, 1)


def stratified(labels: Tensor, kept: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Draws at most so many voxels, half of them foreground where there are as many.

    Args:
        labels: (n,), numbers of classes.
        kept: (n,), bool: those that may be drawn.
        most: how many are drawn.
        generator: on the CPU.

    Returns:
        Rows, (m,), in random order.
    """
    order = torch.randperm(len(labels), generator=generator).to(labels.device)
    order = order[kept[order]]
    ones, zeros = order[labels[order] > 0.5], order[labels[order] <= 0.5]
    first = min(len(ones), max(most // 2, most - len(zeros)))
    return torch.cat([ones[:first], zeros[: most - first]])
