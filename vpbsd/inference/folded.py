"""A Light UNet as it is run on whole volumes: norms folded away, one logit, in three parts.

A norm whose statistics are known beforehand is a factor and a shift per channel, which the
convolution before it can do itself. Two classes are one logit, the difference of theirs.

The parts are cut where tiles pay. What lies at 1/8 of the resolution and below sees far, and costs
a tenth of the time; what lies above sees little, and costs all the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import cast, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vpbsd.config import Grid
from vpbsd.networks.light_unet import SLOPE, LightUNet, Steps, enlarge

ABOVE = 2  # levels above the cut

REACH_CONTEXT, REACH_DEEP, REACH_FINE = 11, 155, 27
"""Voxels beyond a box on which `context`, all three parts, and `fine` depend within that box.

Counted for boxes at multiples of 8 (`deep`: 32): a convolution reaches one cell of its level; to
enlarge n cells twofold, floor(n / 2 + 3 / 4) + 1 cells are needed less one where n is 1; halvings
double. Fewer halvings of z reach less far.
"""


@final
class FoldedUNet(nn.Module):
    """A Light UNet with running statistics, in evaluation mode.

    Args:
        network: Its norms are BatchNorm; it is not changed.
    """

    def __init__(self, network: LightUNet) -> None:
        super().__init__()
        self.steps: list[Steps] = network.steps
        self.encoder = nn.ModuleList(_folded_pair(pair) for pair in network.encoder)
        self.decoder = nn.ModuleList(_folded_pair(pair) for pair in network.decoder)
        self.head = _difference(network.head)
        self.intensity_path: nn.Sequential | None = None
        if network.intensity_path is not None:
            first, activation, last = network.intensity_path
            self.intensity_path = nn.Sequential(first, activation, _difference(last))
        deepest = cast("nn.Sequential", self.encoder[ABOVE - 1])
        self.width: int = cast("nn.Conv3d", deepest[2]).out_channels
        z, y, x = (prod(axis[: ABOVE + 1]) for axis in zip(*self.steps, strict=True))
        self.scale: Grid = (z, y, x)
        self.eval()
        # what oneDNN is fastest with: 1.5 times on one core
        self.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        """Computes the logit of vessel against background (B, 1, D, H, W); sides times 32."""
        return self.fine(x, self.deep(self.context(x)))

    def context(self, x: Tensor) -> Tensor:
        """Computes from images (B, 1, D, H, W) what all deeper levels see of them.

        Returns:
            (B, width, ...), of sides `scale` times shorter.
        """
        for level, pool in zip(self.encoder[:ABOVE], self.steps[1:], strict=False):
            x = F.max_pool3d(level(x), pool)
        return x

    def deep(self, context: Tensor) -> Tensor:
        """Computes all that lies below; the shape is that of the context."""
        x, pools, skips = context, self.steps[ABOVE + 1 :], []
        for level, pool in zip(self.encoder[ABOVE:], pools, strict=True):
            skips.append(level(x))
            x = F.max_pool3d(skips[-1], pool)
        return self._up(x, self.decoder[:-ABOVE], pools, skips)

    def fine(self, x: Tensor, deep: Tensor) -> Tensor:
        """Computes the logit (B, 1, D, H, W) of images from what `deep` made of their context."""
        image, pools, skips = x, self.steps[1 : ABOVE + 1], []
        for level, pool in zip(self.encoder[:ABOVE], pools, strict=True):
            skips.append(level(x))
            if len(skips) < ABOVE:
                x = F.max_pool3d(skips[-1], pool)
        x = self._up(deep, self.decoder[-ABOVE:], pools, skips)
        logit = enlarge(self.head(x), self.steps[0])
        if self.intensity_path is not None:
            logit += self.intensity_path(image)
        return logit

    def _up(
        self, x: Tensor, levels: nn.ModuleList, pools: Sequence[Steps], skips: list[Tensor]
    ) -> Tensor:
        for level, pool in zip(levels, reversed(pools), strict=True):
            x = level(enlarge(x, pool).add_(skips.pop()))
        return x


class _Conv(nn.Conv3d):
    """A convolution that takes oneDNN's path on the CPU also where the batch is one.

    torch leaves that path for a batch of one on one thread, and is seven times slower there.
    """

    def forward(self, x: Tensor) -> Tensor:
        plain = torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export()
        if plain or x.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            return super().forward(x)
        pads, strides = cast("Steps", self.padding), self.stride
        return torch.mkldnn_convolution(x, self.weight, self.bias, pads, strides, (1, 1, 1), 1)


def _folded_pair(pair: nn.Module) -> nn.Sequential:
    """Folds both norms of a level, and ends it with its activation."""
    first, norm1, _, second, norm2 = cast("nn.Sequential", pair)
    return nn.Sequential(
        _folded(first, norm1),
        nn.LeakyReLU(SLOPE, inplace=True),
        _folded(second, norm2),
        nn.LeakyReLU(SLOPE, inplace=True),
    )


def _folded(conv: nn.Module, norm: nn.Module) -> _Conv:
    """Makes one convolution of one without bias and the norm that follows it."""
    assert isinstance(conv, nn.Conv3d)
    assert isinstance(norm, nn.BatchNorm3d), "the norm's statistics are not known beforehand"
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    made = _Conv(conv.in_channels, conv.out_channels, 3, cast("Steps", conv.stride), padding=1)
    made.weight = _constant(conv.weight * factor.view(-1, 1, 1, 1, 1))
    made.bias = _constant(norm.bias - norm.running_mean * factor)
    return made


def _difference(conv: nn.Module) -> _Conv:
    """Makes a 1x1x1 convolution to the difference of the two channels that one computes."""
    assert isinstance(conv, nn.Conv3d)
    assert conv.bias is not None
    made = _Conv(conv.in_channels, 1, 1)
    made.weight = _constant(conv.weight[1:] - conv.weight[:1])
    made.bias = _constant(conv.bias[1:] - conv.bias[:1])
    return made


def _constant(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach().clone(), requires_grad=False)
