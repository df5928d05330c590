"""Small heads that training needs and the deployed student does not."""

from math import expm1, log

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAST_VARIANCE = 1e-5


def train_only(network: nn.Module, parts: tuple[str, ...]) -> None:
    """Leaves only parameters to train whose names start with one of some prefixes."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith(parts))


class Regressor(nn.Conv3d):
    """Maps the student's feature into the teacher's width, voxel by voxel, for FitNets and L_mid.

    No norm and no ReLU follow: the teacher's Swin states are layer-normed and signed.
    Reference: Romero et al. 2015, FitNets; as a 1x1x1 convolution in VpbSD, section 3.4.
    """

    def __init__(self, student_channels: int, teacher_channels: int) -> None:
        super().__init__(student_channels, teacher_channels, kernel_size=1)


class Gaussian(nn.Module):
    """The teacher's feature as the student's would have it: a mean, and a variance per channel.

    Reference: Ahn et al. 2019, Variational information distillation; three layers without biases
    and a ReLU between them, as in RepDistiller's code.
    """

    def __init__(
        self, student_channels: int, teacher_channels: int, hidden: int, variance: float = 5.0
    ) -> None:
        """Builds the head.

        Args:
            student_channels: d_s.
            teacher_channels: d_t.
            hidden: channels in between.
            variance: of every channel at the start, above ``LEAST_VARIANCE``.
        """
        super().__init__()
        self.mean = nn.Sequential(
            nn.Conv3d(student_channels, hidden, 1, bias=False),
            nn.ReLU(),
            nn.Conv3d(hidden, hidden, 1, bias=False),
            nn.ReLU(),
            nn.Conv3d(hidden, teacher_channels, 1, bias=False),
        )
        start = log(expm1(variance - LEAST_VARIANCE))  # what softplus maps to the variance
        self.rho = nn.Parameter(torch.full((teacher_channels,), start))

    @property
    def variance(self) -> Tensor:
        """softplus(rho) and a little, (d_t,): positive whatever rho is."""
        return F.softplus(self.rho.float()) + LEAST_VARIANCE

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Guesses the teacher, (B, d_s, z, y, x) -> (B, d_t, z, y, x) and (1, d_t, 1, 1, 1)."""
        return self.mean(z), self.variance.view(1, -1, 1, 1, 1)


class Connector(nn.Module):
    """Maps the student's pre-activations to the teacher's channels, about zero, for AB.

    A 1x1x1 convolution without bias, then a layer norm over each token's channels. The reference
    has batch norm; with two patches of 2^3 tokens its moments would rest on 16 values, some of
    them padding, while the teacher's own states are layer-normed token by token.
    Reference: Heo et al. 2019, Distillation of activation boundaries.
    """

    def __init__(self, student_channels: int, teacher_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(student_channels, teacher_channels, 1, bias=False)
        self.norm = nn.LayerNorm(teacher_channels)

    def forward(self, z: Tensor) -> Tensor:
        """Maps a feature, (B, d_s, z, y, x) -> (B, d_t, z, y, x)."""
        tokens: Tensor = self.norm(self.conv(z).movedim(1, -1))
        return tokens.movedim(-1, 1)
