"""The student: a 3-D UNet of 0.12 M parameters that starts at half resolution."""

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from vpbsd.errors import BadInput
from vpbsd.networks.intensity_path import IntensityPath
from vpbsd.networks.output import SegOutput, check_sides

GROUPS = 4
Norm = Literal["group", "batch"]
Steps = tuple[int, int, int]
"""By what a level divides the sides (z, y, x): 2, or 1 on an axis that it leaves alone."""
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
        norm: Norm = "group",
        intensity_path: IntensityPath | None = None,
        z_halvings: int = 5,
    ) -> None:
        """Builds the levels; weights come from torch's global random generator.

        Args:
            widths: channels of the encoder levels, first to deepest; multiples of 4.
            in_channels: channels of the image.
            out_channels: classes.
            norm: after every convolution.
            intensity_path: adds to the logits at full resolution.
            z_halvings: how many of the five halvings shorten z, the last ones; the first leave
                it alone until the voxels of a stack with thick slices are about cubic.

        Raises:
            BadInput: if there are not four widths or GroupNorm cannot divide one.
        """
        super().__init__()
        if len(widths) != 4 or any(width < GROUPS or width % GROUPS for width in widths):
            raise BadInput(f"widths {tuple(widths)}: give four multiples of {GROUPS}")
        self.steps: list[Steps] = [(1 if i < 5 - z_halvings else 2, 2, 2) for i in range(5)]
        self.encoder = nn.ModuleList(
            conv_pair(before, after, self.steps[0] if level == 0 else 1, norm)
            for level, (before, after) in enumerate(
                zip((in_channels, *widths), widths, strict=False)
            )
        )
        narrowing = (*widths[:0:-1], widths[0], widths[0])[1:]
        self.decoder = nn.ModuleList(
            conv_pair(before, after, norm=norm)
            for before, after in zip(reversed(widths), narrowing, strict=True)
        )
        self.head = nn.Conv3d(widths[0], out_channels, kernel_size=1)
        self.intensity_path = intensity_path

    def forward(self, x: Tensor) -> SegOutput:
        """Segments patches.

        Args:
            x: (B, in_channels, D, H, W), sides multiples of 32.

        Returns:
            logits (B, out_channels, D, H, W); five stages, the deepest
            (B, d_s, D / 2**z_halvings, H/32, W/32); decoder features at 1/16 to 1/2.

        Raises:
            BadInput: if a side is no multiple of 32.
        """
        check_sides(x.shape[2:])
        image, (first, *pools) = x, self.steps
        stages, skips = [], []
        for level, pool in zip(self.encoder, pools, strict=True):
            stages.append(level(x))
            skips.append(F.leaky_relu(stages[-1], SLOPE))
            x = F.max_pool3d(skips[-1], pool)
        stages.append(F.max_pool3d(stages[-1], pools[-1]))
        decoded = []
        for level, skip, pool in zip(self.decoder, reversed(skips), reversed(pools), strict=True):
            x = F.leaky_relu(level(enlarge(x, pool) + skip), SLOPE)
            decoded.append(x)
        logits = enlarge(self.head(x), first)
        if self.intensity_path is not None:
            logits = logits + self.intensity_path(image)
        return SegOutput(logits, tuple(stages), tuple(decoded))


def conv_pair(
    in_channels: int, out_channels: int, stride: int | Steps = 1, norm: Norm = "group"
) -> nn.Sequential:
    """Stacks two convolutions, each with a norm; the last activation is left to the caller.

    The convolutions have no bias: where a group is one channel, the norm would cancel it;
    batch norm has one of its own.
    """

    def normed() -> nn.Module:
        if norm == "batch":
            return nn.BatchNorm3d(out_channels)
        return nn.GroupNorm(GROUPS, out_channels)

    return nn.Sequential(
        nn.Conv3d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
        normed(),
        nn.LeakyReLU(SLOPE),
        nn.Conv3d(out_channels, out_channels, 3, padding=1, bias=False),
        normed(),
    )


def enlarge(x: Tensor, steps: Steps = (2, 2, 2)) -> Tensor:
    """Multiplies the sides of (B, C, D, H, W), trilinearly."""
    return F.interpolate(x, scale_factor=steps, mode="trilinear", align_corners=False)
