"""The quantised bottleneck: align, replace by codes, align back."""

from torch import Tensor, nn

from vpbsd.networks.codebook import Codebook, Quantised, Selection
from vpbsd.networks.output import DEEPEST


class PatternQuantiser(nn.Module):
    """Everything between the teacher's encoder and decoder (VpbSD, section 3.3 and eq. 8).

    The paper mixes projected codes, DA_up(V); projecting the mixed code is the same, since DA_up
    is affine and the weights of a token add up to one.
    """

    def __init__(
        self, dn: nn.Module, up: nn.Module, codebook: Codebook, cell: int = DEEPEST
    ) -> None:
        """Joins the parts.

        Args:
            dn: d_t -> d_s on grids (B, channels, z, y, x).
            up: d_s -> d_t.
            codebook: of width d_s.
            cell: side in voxels of what one code stands for.
        """
        super().__init__()
        self.dn = dn
        self.up = up
        self.codebook = codebook
        self.cell = cell

    def align(self, z: Tensor, *, settled: bool = True) -> Tensor:
        """Aligns a state, (B, d_t, z, y, x) -> standardised tokens (T, d_s), order b, z, y, x."""
        return self.codebook.tokens(self.dn(z), settled=settled)

    def project(self, vectors: Tensor, grid: tuple[int, ...]) -> Tensor:
        """Projects codes back, (T, d_s) -> (B, d_t, *grid), for the decoder."""
        projected: Tensor = self.up(grid_of(vectors, grid))
        return projected

    def forward(
        self,
        z: Tensor,
        noise: Tensor | None = None,
        tau: float = 1.0,
        mode: Selection = "post",
        *,
        settled: bool = True,
    ) -> tuple[Tensor, Quantised]:
        """Passes a bottleneck through the codebook.

        Args:
            z: (B, d_t, z, y, x), the teacher's deepest state.
            noise: (T, N), see ``Codebook.forward``, as are ``tau`` and ``mode``.
            tau: temperature.
            mode: how codes are chosen.
            settled: see ``Codebook.tokens``.

        Returns:
            u: (B, d_t, z, y, x) for the decoder, and the record of the choice.
        """
        record: Quantised = self.codebook(self.align(z, settled=settled), noise, tau, mode)
        return self.project(record.vectors, tuple(z.shape[2:])), record


def grid_of(tokens: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Arranges tokens (T, d) in the order b, z, y, x as (B, d, *grid).

    >>> import torch
    >>> grid_of(torch.zeros(16, 32), (2, 2, 2)).shape
    torch.Size([2, 32, 2, 2, 2])
    """
    return tokens.reshape(-1, *grid, tokens.shape[-1]).movedim(-1, 1)
