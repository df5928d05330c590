"""The student: a 3-D UNet of 0.12 M parameters that starts at half resolution."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from vpbsd.errors import BadInput
from vpbsd.networks.output import SegOutput, check_sides

GROUPS = 4
SLOPE = 0.01


class LightUNet(nn.Module):
    """Four encoder and four decoder levels, additive skips, two-channel head.

    A level is two 3x3x3 convolutions, each with GroupNorm and LeakyReLU; every encoder level ends
    with a max-pool. The first convolution has stride 2 and the logits are enlarged twofold: two
    convolutions at full resolution alone would exceed the published 0.11 G multiply-adds at 64^3.

    The deepest feature Z_S is taken before the last LeakyReLU, so that it can be negative, as
    code vectors are. LeakyReLU is monotone and commutes with the max-pool: the segmentation is
    the same wherever Z_S is recorded.

    Reference: the "Light UNet" student of VpbSD, section 4.1.2 (widths are ours; none is printed).
    """

    def __init__(
        self,
        widths: Sequence[int] = (4, 16, 20, 32),
        in_channels: int = 1,
        out_channels: int = 2,
    ) -> None:
        """Builds the levels; weights come from torch's global random generator.

        Args:
            widths: channels of the encoder levels, first to deepest; multiples of 4.
            in_channels: channels of the image.
            out_channels: classes.

        Raises:
            BadInput: if there are not four widths or GroupNorm cannot divide one.
        """
        super().__init__()
        if len(widths) != 4 or any(width < GROUPS or width % GROUPS for width in widths):
            raise BadInput(f"widths {tuple(widths)}: give four multiples of {GROUPS}")
        self.encoder = nn.ModuleList(
            conv_pair(before, after, stride=2 if level == 0 else 1)
            for level, (before, after) in enumerate(
                zip((in_channels, *widths), widths, strict=False)
            )
        )
        narrowing = (*widths[:0:-1], widths[0], widths[0])[1:]
        self.decoder = nn.ModuleList(
            conv_pair(before, after)
            for before, after in zip(reversed(widths), narrowing, strict=True)
        )
        self.head = nn.Conv3d(widths[0], out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> SegOutput:
        """Segments patches.

        Args:
            x: (B, in_channels, D, H, W), sides multiples of 32.

        Returns:
            logits (B, out_channels, D, H, W) and five stages, the deepest (B, d_s, D/32, ...).

        Raises:
            BadInput: if a side is no multiple of 32.
        """
        check_sides(x.shape[2:])
        stages, skips = [], []
        for level in self.encoder:
            stages.append(level(x))
            skips.append(F.leaky_relu(stages[-1], SLOPE))
            x = F.max_pool3d(skips[-1], 2)
        stages.append(F.max_pool3d(stages[-1], 2))
        for level, skip in zip(self.decoder, reversed(skips), strict=True):
            x = F.leaky_relu(level(enlarge(x) + skip), SLOPE)
        return SegOutput(enlarge(self.head(x)), tuple(stages))


def conv_pair(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """Stacks two convolutions with GroupNorm; the last activation is left to the caller.

    The convolutions have no bias: where a group is one channel, the norm would cancel it.
    """
    return nn.Sequential(
        nn.Conv3d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
        nn.GroupNorm(GROUPS, out_channels),
        nn.LeakyReLU(SLOPE),
        nn.Conv3d(out_channels, out_channels, 3, padding=1, bias=False),
        nn.GroupNorm(GROUPS, out_channels),
    )


def enlarge(x: Tensor) -> Tensor:
    """Doubles every side of (B, C, D, H, W), trilinearly."""
    return F.interpolate(x, scale_factor=2, mode="trilinear", align_corners=False)
