"""A reference network: MONAI's UNETR, a vision transformer with a convolutional decoder."""

from collections.abc import Sequence

from monai.networks.nets import UNETR
from torch import Tensor, nn

from vpbsd.networks.output import SegOutput, check_sides
from vpbsd.networks.swin_unetr import centred


class Unetr(nn.Module):
    """UNETR on patches of one fixed size, on the image as the Swin teacher sees it.

    Reference: Hatamizadeh et al. 2022, UNETR. It has twelve transformer layers, whatever its
    widths. Nothing is distilled from it, so its answers carry no stages.
    """

    def __init__(
        self,
        patch: Sequence[int],
        feature_size: int,
        hidden_size: int,
        mlp_dim: int,
        heads: int,
        classes: int = 2,
    ) -> None:
        """Builds the network; weights come from torch's global random generator.

        Args:
            patch: voxels along z, y, x; the only size it will take.
            feature_size: channels at full resolution.
            hidden_size: channels of a token; a multiple of heads.
            mlp_dim: channels within a transformer layer.
            heads: attention heads.
            classes: C, background included.

        Raises:
            BadInput: if a side is no multiple of 32.
        """
        super().__init__()
        check_sides(patch)
        self.net = UNETR(
            in_channels=1,
            out_channels=classes,
            img_size=tuple(patch),
            feature_size=feature_size,
            hidden_size=hidden_size,
            mlp_dim=mlp_dim,
            num_heads=heads,
        )
        for block in self.net.vit.blocks:  # a norm that nothing calls would be a dead parameter
            block.norm_cross_attn = nn.Identity()

    def encode(self, x: Tensor) -> tuple[Tensor]:
        """Runs the transformer alone, (B, 1, *patch) -> its state (B, hidden, *patch / 16)."""
        state, _ = self.net.vit(centred(x))
        return (self.net.proj_feat(state),)

    def forward(self, x: Tensor) -> SegOutput:
        """Segments patches, (B, 1, *patch) -> logits (B, C, *patch); no stages."""
        return SegOutput(self.net(centred(x)), ())
