"""A GroupNorm network whose statistics are taken once per volume, so that it can be tiled exactly.

In a window, GroupNorm measures what it subtracts and divides by: the answer at a voxel depends on
the window it was seen in. Here the means over windows that are spread over the tissue take the
place of every window's own (`benchmarks/embedded_tissue.py` compares the two).
"""

from __future__ import annotations

from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn

from vpbsd.networks.light_unet import LightUNet


def takes_statistics(network: LightUNet) -> bool:
    """Tells whether the norms of a network measure each window anew."""
    return any(isinstance(module, nn.GroupNorm) for module in network.modules())


@torch.no_grad()
def with_running_statistics(network: LightUNet, windows: Tensor) -> LightUNet:
    """Makes a network with BatchNorm for GroupNorm, its running statistics those of some windows.

    Each norm gets the means over windows of the mean and the variance of each group, while all
    norms before it are already so.

    Args:
        network: In eval mode; it is not changed.
        windows: Images (N, 1, D, H, W), sides multiples of 32.
    """
    made = deepcopy(network)
    norms = [
        (parent, name)
        for parent in made.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.GroupNorm)
    ]
    for parent, name in norms:
        setattr(parent, name, _Measuring(cast("nn.GroupNorm", getattr(parent, name))))
    made(windows)
    for parent, name in norms:
        setattr(parent, name, cast("_Measuring", getattr(parent, name)).norm)
    return made.eval()


class _Measuring(nn.Module):
    """Becomes a BatchNorm by what the first batch shows it."""

    def __init__(self, group: nn.GroupNorm) -> None:
        super().__init__()
        self.groups = group.num_groups
        self.norm = nn.BatchNorm3d(group.num_channels, eps=group.eps).to(group.weight.device)
        self.norm.weight, self.norm.bias = group.weight, group.bias
        self.norm.eval()

    def forward(self, x: Tensor) -> Tensor:
        within = x.reshape(len(x), self.groups, -1)
        each = x.shape[1] // self.groups
        mean, variance = within.mean(2).mean(0), within.var(2, unbiased=False).mean(0)
        self.norm.running_mean = mean.repeat_interleave(each)
        self.norm.running_var = variance.repeat_interleave(each)
        y: Tensor = self.norm(x)
        return y
