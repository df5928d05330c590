"""Projectors: what features are mapped to while they are compared in training, then dropped."""

from torch import Tensor, nn

HIDDEN, WIDTH = 256, 128


class Projector(nn.Sequential):
    """Three linear layers with batch norm and ReLU between them, (T, c) -> (T, width).

    Batch norm has no weights of its own, as in the heads of S2DC and VoCo.
    """

    def __init__(self, channels: int, hidden: int, width: int) -> None:
        super().__init__(
            nn.Linear(channels, hidden, bias=False),
            nn.BatchNorm1d(hidden, affine=False),
            nn.ReLU(),
            nn.Linear(hidden, hidden, bias=False),
            nn.BatchNorm1d(hidden, affine=False),
            nn.ReLU(),
            nn.Linear(hidden, width),
        )


class SharedProjector(nn.Module):
    """Maps features of two networks into one space: a layer for each, ReLU, a shared layer.

    As in MCSC's code, where they are 1x1 convolutions; here they see the voxels that are needed.
    Reference: Liu et al. 2023, Multi-scale cross contrastive learning.
    """

    def __init__(self, widths: tuple[int, int]) -> None:
        """Builds the layers; weights come from torch's global random generator.

        Args:
            widths: channels of either network's feature.
        """
        super().__init__()
        self.own = nn.ModuleList(nn.Linear(width, HIDDEN) for width in widths)
        self.shared = nn.Sequential(nn.ReLU(), nn.Linear(HIDDEN, WIDTH))

    def forward(self, features: Tensor, network: int) -> Tensor:
        """Maps voxels of a network, 0 or 1, (..., c) -> (..., 128)."""
        vectors: Tensor = self.shared(self.own[network](features))
        return vectors
