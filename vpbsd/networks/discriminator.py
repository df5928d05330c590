"""DiCo's discriminator: does a projected mask look like one that was drawn by hand?"""

import torch
from torch import Tensor, nn

WIDTHS = (16, 32, 64, 64)
SLOPE = 0.2


def projection(volumes: Tensor) -> Tensor:
    """Projects maxima along z, (B, 1, D, H, W) -> (B, 1, 1, H, W).

    >>> projection(torch.arange(8.0).view(1, 1, 2, 2, 2)).flatten().tolist()
    [4.0, 5.0, 6.0, 7.0]
    """
    return volumes.amax(2, keepdim=True)


class Discriminator(nn.Module):
    """Four halving convolutions over the projections of a mask and its image, and their mean.

    Reference: Xu et al. 2025, DiCo, which has a discriminator of 2-D projections; its layers are
    not public.
    """

    def __init__(self) -> None:
        """Builds the layers; weights come from torch's global random generator."""
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((2, *WIDTHS), WIDTHS, strict=False):
            # 3-D ones in name: what is trained must have the memory format of volumes
            layers += [
                nn.Conv3d(before, after, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
                nn.LeakyReLU(SLOPE),
            ]
        self.layers = nn.Sequential(*layers)
        self.out = nn.Linear(WIDTHS[-1], 1)

    def forward(self, mask: Tensor, image: Tensor) -> Tensor:
        """Judges projections, twice (B, 1, 1, H, W) -> logits (B, 1), positive if drawn."""
        features = self.layers(torch.cat([mask, image], 1)).mean((2, 3, 4))
        judged: Tensor = self.out(features)
        return judged
