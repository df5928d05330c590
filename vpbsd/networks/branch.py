"""A branch of self-supervised training: an encoder, and the projectors of its states."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from vpbsd.networks.projectors import Projector
from vpbsd.networks.swin_unetr import centred

LEVEL = 3
"""Of the state whose tokens are compared, 1/16 of the resolution."""


class Projected(NamedTuple):
    """What a branch makes of B crops; None where it was not asked."""

    tokens: Tensor | None
    """(B, width, D / 16, H / 16, W / 16)."""
    key: Tensor | None
    """(B, width)."""


class Branch(nn.Module):
    """A Swin encoder and its projectors, each of which may be missing."""

    def __init__(
        self, encoder: nn.Module, patch: Projector | None, crop: Projector | None
    ) -> None:
        """Takes them over.

        Args:
            encoder: MONAI's Swin transformer.
            patch: Of tokens at 1/16 of the resolution.
            crop: Of the mean of the deepest state.
        """
        super().__init__()
        self.encoder, self.patch, self.crop = encoder, patch, crop

    def forward(self, crops: Tensor, *, tokens: bool = True, key: bool = True) -> Projected:
        """Projects crops, (B, 1, D, H, W) in [0, 1]; only what is asked for, if it can."""
        states = self.encoder(centred(crops))
        return Projected(
            along_tokens(self.patch, states[LEVEL]) if tokens and self.patch else None,
            self.crop(states[-1].mean((2, 3, 4))) if key and self.crop else None,
        )


def along_tokens(projector: nn.Module, state: Tensor) -> Tensor:
    """Projects each token of a state, (B, c, d, h, w) -> (B, width, d, h, w)."""
    tokens = state.movedim(1, -1)
    projected: Tensor = projector(tokens.flatten(0, 3))
    return projected.reshape(*tokens.shape[:4], -1).movedim(-1, 1)
