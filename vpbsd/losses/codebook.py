"""The codebook's own loss: codes move to tokens, tokens commit to codes."""

from torch import Tensor

from vpbsd.losses.weighting import weighted_mean


def codebook_loss(
    tokens: Tensor, chosen: Tensor, commitment: float = 0.25, weights: Tensor | None = None
) -> Tensor:
    """Computes ||sg[e] - v||^2 + lambda * ||e - sg[v]||^2, mean over tokens and channels.

    VpbSD, eqs. 3 and 9 (van den Oord et al. 2017, eq. 3). The row that was chosen is used, not
    the soft mixture: a mixture would let the first term's gradient into the encoder.

    Args:
        tokens: (T, d), e.
        chosen: (T, d), rows v of the codebook.
        commitment: lambda, not printed in VpbSD; .25 as in VQ-VAE.
        weights: (T,), valid share of each token.

    >>> import torch
    >>> codebook_loss(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0]]))
    tensor(0.6250)
    """
    pull = squared_error(tokens.detach(), chosen, weights)
    commit = squared_error(tokens, chosen.detach(), weights)
    return pull + commitment * commit


def squared_error(tokens: Tensor, codes: Tensor, weights: Tensor | None = None) -> Tensor:
    """Averages (e - v)^2 of tokens (T, d) and codes (T, d); with nearest codes, quant_mse.

    Raises:
        ValueError: if the shapes differ.
    """
    if tokens.shape != codes.shape:
        raise ValueError(f"shapes differ: {tuple(tokens.shape)} and {tuple(codes.shape)}")
    share = None if weights is None else weights.unsqueeze(1)
    return weighted_mean((tokens.float() - codes.float()).square(), share)
