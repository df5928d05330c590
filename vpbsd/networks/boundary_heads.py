"""What SimCVD adds to a network while it trains: signed distances, and a vector per slice."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vpbsd.networks.output import SegOutput

HIDDEN, WIDTH = 256, 128


class DistanceHead(nn.Module):
    """Guesses signed distance maps from the last decoder feature, as the segmenting head does.

    Reference: You et al. 2022, SimCVD, section III-C: a branch that ends in a tanh.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, classes - 1, kernel_size=1)

    def forward(self, answer: SegOutput) -> Tensor:
        """Guesses one map per foreground class, (B, K, D, H, W) in [-1, 1]."""
        near = self.conv(answer.decoded[-1])
        sides = answer.logits.shape[2:]
        return F.interpolate(near, sides, mode="trilinear", align_corners=False).tanh()


class SliceProjector(nn.Module):
    """Turns slices into vectors: alpha dropout, pooling to a fixed size, three layers with SELU.

    Reference: You et al. 2022, SimCVD, section III-D. Widths are ours, and SELU: alpha dropout is
    made for it.
    """

    def __init__(self, pool: int, pooling: Literal["average", "max"], dropout: float) -> None:
        """Builds the layers; weights come from torch's global random generator.

        Args:
            pool: side of the pooled slice in pixels.
            pooling: by means or by maxima.
            dropout: chance of a pixel to be dropped while training, in [0, 1).
        """
        super().__init__()
        self.dropout = nn.AlphaDropout(dropout)
        kinds = {"average": nn.AdaptiveAvgPool2d, "max": nn.AdaptiveMaxPool2d}
        self.pool = kinds[pooling](pool)
        layers = (nn.Linear(pool * pool, HIDDEN), nn.SELU(), nn.Linear(HIDDEN, HIDDEN), nn.SELU())
        self.layers = nn.Sequential(*layers, nn.Linear(HIDDEN, WIDTH))

    def forward(self, slices: Tensor) -> Tensor:
        """Maps slices, (n, H, W) -> (n, 128)."""
        vectors: Tensor = self.layers(self.pool(self.dropout(slices)).flatten(1))
        return vectors


def slices_of(volumes: Tensor, chosen: Tensor) -> Tensor:
    """Picks slices along z, (B, 1, D, H, W) -> (n, H, W).

    >>> import torch
    >>> slices_of(torch.arange(4.0).view(2, 1, 2, 1, 1), torch.tensor([3, 0])).flatten().tolist()
    [3.0, 0.0]
    """
    return volumes.flatten(0, 2)[chosen]


def draw_slices(valid: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Draws slices of a batch for `slices_of`, (n,), from those that show more than padding.

    Args:
        valid: (B, 1, D, H, W), 0 on padded voxels.
        most: how many are drawn, of B * D.
        generator: on the CPU.
    """
    real = valid.flatten(0, 2).flatten(1).any(1).cpu()
    order = torch.randperm(len(real), generator=generator)
    return order[real[order]][:most].to(valid.device)
