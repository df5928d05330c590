"""DiCo's discriminator: does a projected mask look like one that was drawn by hand?"""

import torch
from torch import Tensor, nn

WIDTHS = (16, 32, 64, 64)
SLOPE = 0.2


def projection(volumes: Tensor) -> Tensor:
    """Projects maxima along z, (B, K, D, H, W) -> (B, K, 1, H, W).

    >>> projection(torch.arange(8.0).view(1, 1, 2, 2, 2)).flatten().tolist()
    [4.0, 5.0, 6.0, 7.0]
    """
    return volumes.amax(2, keepdim=True)


class Discriminator(nn.Module):
    """Four halving convolutions over the projections of a mask and its image, and their mean.

    Reference: Xu et al. 2025, DiCo, which has a discriminator of 2-D projections; its layers are
    not public.
    """

    def __init__(self, classes: int = 2) -> None:
        """Builds the layers; weights come from torch's global random generator.

        Args:
            classes: C, background included, of which a mask has no channel.
        """
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((classes, *WIDTHS), WIDTHS, strict=False):
            # 3-D ones in name: what is trained must have the memory format of volumes
            layers += [
                nn.Conv3d(before, after, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
                nn.LeakyReLU(SLOPE),
            ]
        self.layers = nn.Sequential(*layers)
        self.out = nn.Linear(WIDTHS[-1], 1)

    def forward(self, mask: Tensor, image: Tensor) -> Tensor:
        """Judges a mask (B, K, 1, H, W) beside its image (B, 1, 1, H, W): logits (B, 1)."""
        features = self.layers(torch.cat([mask, image], 1)).mean((2, 3, 4))
        judged: Tensor = self.out(features)
        return judged
