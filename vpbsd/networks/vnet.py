"""A reference network: MONAI's V-Net, the backbone of SimCVD and of its comparisons."""

from monai.networks.nets import VNet
from torch import Tensor, nn

from vpbsd.networks.output import SegOutput, check_sides
from vpbsd.networks.swin_unetr import centred

DEEPEST = 16  # four halvings


class Vnet(nn.Module):
    """V-Net on the image as the Swin teacher sees it, its encoder and decoder states told.

    Its batch norms take the moments of the batch while training. Reference: Milletari et al. 2016,
    V-Net.
    """

    def __init__(self, classes: int = 2, dropout: float = 0.5) -> None:
        """Builds the network; weights come from torch's global random generator.

        Args:
            classes: C, background included.
            dropout: chance that a channel is dropped in the deeper levels, in [0, 1).
        """
        super().__init__()
        rates = {"dropout_prob_down": dropout, "dropout_prob_up": (dropout, dropout)}
        self.net = VNet(in_channels=1, out_channels=classes, **rates)

    def forward(self, x: Tensor) -> SegOutput:
        """Segments patches.

        Args:
            x: (B, 1, D, H, W), sides multiples of 16.

        Returns:
            logits (B, C, D, H, W); four states at 1/2 to 1/16, after their activation; decoder
            features at 1/8, 1/4, 1/2 and in full.

        Raises:
            BadInput: if a side is no multiple of 16.
        """
        check_sides(x.shape[2:], DEEPEST)
        net = self.net
        states = [net.in_tr(centred(x))]
        for down in (net.down_tr32, net.down_tr64, net.down_tr128, net.down_tr256):
            states.append(down(states[-1]))
        y, decoded = states[-1], []
        ups = (net.up_tr256, net.up_tr128, net.up_tr64, net.up_tr32)
        for up, skip in zip(ups, reversed(states[:-1]), strict=True):
            y = up(y, skip)
            decoded.append(y)
        return SegOutput(net.out_tr(y), tuple(states[1:]), tuple(decoded))
