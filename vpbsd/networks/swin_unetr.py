"""The teacher: MONAI's Swin UNETR, taken apart where codes enter and at its skips."""

from collections.abc import Sequence
from math import prod

import torch
from monai.networks.nets import SwinUNETR
from torch import Tensor, nn

from vpbsd.errors import BadInput
from vpbsd.networks.intensity_path import IntensityPath
from vpbsd.networks.output import DEEPEST, SegOutput, check_sides, shape_text
from vpbsd.networks.quantiser import PatternQuantiser
from vpbsd.networks.roles import bypass

SKIPS = 5


class SwinTeacher(nn.Module):
    """Swin UNETR of which one state may be quantised, and whose skips may be dropped.

    As published it is the bottleneck. Where cells are finer than 32 voxels the codes take the
    place of the state at that resolution, and zeros that of every coarser one: what the decoder
    knows at the codes' scale and above, it knows from them.

    With all skips and no quantiser it is MONAI's network on the ``centred`` image, bit for bit.
    There are two heads on the same decoder: ``reconstruction``, one linear channel for
    pre-training, and ``net.out``, two classes for fine-tuning; whoever trains one switches the
    gradient of the other off.

    References: Hatamizadeh et al. 2022, Swin UNETR; VpbSD, sections 3.3 and 4.1.2.
    """

    def __init__(  # noqa: PLR0913 (most are MONAI's)
        self,
        feature_size: int = 48,
        depths: Sequence[int] = (2, 2, 2, 2),
        num_heads: Sequence[int] = (3, 6, 12, 24),
        window_size: int = 7,
        quantiser: PatternQuantiser | None = None,
        decode_codes: bool = True,
        norm: str = "instance",
        classes: int = 2,
    ) -> None:
        """Builds the network; weights come from torch's global random generator.

        Args:
            feature_size: channels at full resolution; the deepest state has 16 times as many.
            depths: Swin blocks of each of the four stages.
            num_heads: attention heads of each stage.
            window_size: side of the attention window, in tokens.
            quantiser: for cells of 32, 16 or 8 voxels, of width feature_size * cell / 2 (d_t =
                16 * feature_size at the bottleneck); or none.
            decode_codes: whether ``forward`` decodes the codes; if not, it decodes the raw
                state, and the quantiser is a side branch.
            norm: of decoder and skips, "instance" or "batch".
            classes: C, background included.

        Raises:
            BadInput: if feature_size is no multiple of 12.
        """
        super().__init__()
        if feature_size < 12 or feature_size % 12:
            raise BadInput(f"feature_size {feature_size}: Swin UNETR needs a multiple of 12")
        self.net = SwinUNETR(
            in_channels=1,
            out_channels=classes,
            feature_size=feature_size,
            depths=tuple(depths),
            num_heads=tuple(num_heads),
            window_size=window_size,
            norm_name=norm,
        )
        self.reconstruction = nn.Conv3d(feature_size, 1, kernel_size=1)
        self.quantiser = quantiser
        self.decode_codes = decode_codes
        self.cell = DEEPEST if quantiser is None else quantiser.cell
        self.coded = self.cell.bit_length() - 2  # place among the hidden states: 4, 3 or 2
        self.intensity_path: IntensityPath | None = None  # given by `build_network`

    def encode(self, x: Tensor) -> tuple[Tensor, ...]:
        """Runs the Swin encoder alone.

        Args:
            x: (B, 1, D, H, W).

        Returns:
            Five layer-normed states at 1/2, 1/4, 1/8, 1/16 and 1/32 of the resolution, with
            feature_size * (1, 2, 4, 8, 16) channels.

        Raises:
            BadInput: for patches that ``check_patch`` refuses.
        """
        check_patch(x.shape[2:])
        return tuple(self.net.swinViT(centred(x), self.net.normalize))

    def decode(
        self,
        x: Tensor,
        hidden: tuple[Tensor, ...],
        codes: Tensor | None = None,
        keep_skips: Tensor | None = None,
    ) -> SegOutput:
        """Segments what was encoded.

        Args:
            x: (B, 1, D, H, W), the patch: the first skip starts from it.
            hidden: states from ``encode``.
            codes: shaped like ``coded_state``, take its place.
            keep_skips: (B, 5) of 0 and 1, from the full-resolution skip down to the one at
                1/16; all are kept if not given. Codes that enter as a skip are always kept.

        Returns:
            logits (B, C, D, H, W); ``stages`` are the hidden states; decoder features at 1/16 to
            1/2 and in full.
        """
        decoded = self._decoded(x, hidden, codes, keep_skips)
        logits: Tensor = self.net.out(decoded[-1])
        if self.intensity_path is not None:
            logits = logits + self.intensity_path(x)
        return SegOutput(logits, hidden, decoded)

    def reconstruct(
        self,
        x: Tensor,
        hidden: tuple[Tensor, ...],
        codes: Tensor | None = None,
        keep_skips: Tensor | None = None,
        scale: int = 1,
    ) -> Tensor:
        """Decodes as ``decode`` does, but gives the image back.

        Args:
            x: as for ``decode``, as are the next three.
            hidden: states from ``encode``.
            codes: take the place of the coded state.
            keep_skips: skips of each sample that are kept.
            scale: 1, or 2 to leave the last decoder block out, with the skip that it alone takes.

        Returns:
            (B, 1, D, H, W), unbounded; at scale 2 (B, 1, D/2, H/2, W/2), to be compared with
            means of 2 x 2 x 2 voxels.
        """
        decoded = self._decoded(x, hidden, codes, keep_skips, scale)
        image: Tensor = self.reconstruction(decoded[-1])
        return image

    @torch.no_grad()
    def start_head(self, image: Tensor, valid: Tensor) -> None:
        """Sets the reconstruction to begin at the mean brightness, with a tenth of its weights.

        Else the first steps teach a dark data set's decoder to answer with a constant, and it
        never leaves it: bypass gap 0.0000 of .0184 on real volumes, .0050 of .0211 with this.

        Args:
            image: (B, 1, D, H, W), as the network takes it.
            valid: same shape, 0 on padded voxels, else 1.
        """
        head, seen = self.reconstruction, valid.sum().clamp_min(1)
        assert head.bias is not None
        head.weight.mul_(0.1)
        head.bias.fill_(float((image * valid).sum() / seen))

    def coded_state(self, hidden: tuple[Tensor, ...]) -> Tensor:
        """Picks the state that codes replace, (B, feature_size * cell / 2, D / cell, ...)."""
        return hidden[self.coded]

    def forward(self, x: Tensor, keep_skips: Tensor | None = None) -> SegOutput:
        """Segments patches, through the nearest codes if there is a quantiser.

        While training, the gradient passes the codes unchanged on to the encoder and reaches
        neither the codebook nor the alignment: fine-tuning leaves both as they are.

        Args:
            x: (B, 1, D, H, W), sides multiples of 32, one of them at least 64.
            keep_skips: as for ``decode``.

        Returns:
            logits (B, C, D, H, W) and the five hidden states; the last one is not quantised.
        """
        hidden = self.encode(x)
        if self.quantiser is None or not self.decode_codes:
            return self.decode(x, hidden, keep_skips=keep_skips)
        codes, _ = bypass(self.quantiser, self.coded_state(hidden), mode="copy")
        return self.decode(x, hidden, codes, keep_skips)

    def _decoded(
        self,
        x: Tensor,
        hidden: tuple[Tensor, ...],
        codes: Tensor | None,
        keep_skips: Tensor | None,
        scale: int = 1,
    ) -> tuple[Tensor, ...]:
        net = self.net
        if codes is not None:
            coarser = map(torch.zeros_like, hidden[self.coded + 1 :])
            hidden = (*hidden[: self.coded], codes, *coarser)
            if keep_skips is not None and self.coded + 1 < SKIPS:
                keep_skips = keep_skips.clone()
                keep_skips[:, self.coded + 1 :] = 1
        y: Tensor = net.encoder10(hidden[-1])
        decoded = []
        blocks = (net.decoder1, net.decoder2, net.decoder3, net.decoder4, net.decoder5)
        for level in reversed(range(scale // 2, SKIPS)):
            y = blocks[level](y, self._skip(level, x, hidden, keep_skips))
            decoded.append(y)
        return tuple(decoded)

    def _skip(
        self, level: int, x: Tensor, hidden: tuple[Tensor, ...], keep_skips: Tensor | None
    ) -> Tensor:
        """Computes the skip at 1/2^level of the resolution, zero in samples that drop it."""
        net = self.net
        source = centred(x) if level == 0 else hidden[level - 1]
        kept = None if keep_skips is None else keep_skips[:, level]
        if kept is not None and not kept.any():  # zeros, without computing what they replace
            channels = hidden[max(level - 1, 0)].shape[1]
            return x.new_zeros(len(x), channels, *source.shape[2:])
        encoders = (net.encoder1, net.encoder2, net.encoder3, net.encoder4, nn.Identity())
        skip: Tensor = encoders[level](source)
        return skip if kept is None else skip * kept.to(skip.dtype).view(-1, 1, 1, 1, 1)


def makers(level: int) -> tuple[str, ...]:
    """Lists the parts of a `SwinTeacher` that make its hidden state of a level.

    >>> makers(1)
    ('net.swinViT.patch_embed', 'net.swinViT.layers1')
    """
    layers = (f"net.swinViT.layers{n}" for n in range(1, level + 1))
    return ("net.swinViT.patch_embed", *layers)


def check_patch(patch: Sequence[int]) -> None:
    """Refuses patches that Swin UNETR cannot be trained on.

    Args:
        patch: voxels along z, y, x.

    Raises:
        BadInput: if a side is no multiple of 32, or the bottleneck is a single voxel, which
            instance normalisation cannot normalise.
    """
    check_sides(patch)
    if prod(side // DEEPEST for side in patch) == 1:
        raise BadInput(
            f"patch {shape_text(patch)}: Swin UNETR's bottleneck would be a single voxel, which "
            "cannot be normalised; use 64x64x64 or 32x64x64"
        )


def centred(x: Tensor) -> Tensor:
    """Maps an image in [0, 1] to 4 x - 1, about zero.

    On plain images, which are all positive, a fresh Swin encoder tells patches apart eight times
    less (deviation of its deepest state .08 against .66 on standardised ones, measured).
    """
    return 4 * x - 1
