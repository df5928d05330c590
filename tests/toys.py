"""Networks whose answers are known beforehand."""

import torch
from torch import nn

from vpbsd.networks.output import SegOutput


class Toy(nn.Module):
    """Answers with given logits of the vessel channel, the other channel's being 0."""

    def __init__(self, logit):
        super().__init__()
        self.logit = logit
        self.unused = nn.Parameter(torch.zeros(()))  # tells the device

    def forward(self, x):
        logit = self.logit(x)
        return SegOutput(torch.cat([torch.zeros_like(logit), logit], 1), (x,))


def constant(value):
    return Toy(lambda x: torch.full_like(x, value))


def voxelwise():
    """Each voxel's probability depends on its own intensity: blending changes nothing."""
    return Toy(lambda x: 8 * x - 4)


def uneven():
    """Depends on where a voxel lies in its window: every overlap shows."""

    def logit(x):
        places = torch.arange(x[0, 0].numel()).reshape(x.shape[2:]) * 0.7
        return x + places.sin()

    return Toy(logit)
