"""Small codebooks, tokens and Gumbel noise."""

import torch

from vpbsd.networks.codebook import Codebook, gumbel

N, D, T = 8, 6, 20


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def noise(seed, *shape):
    return gumbel(shape, torch.Generator().manual_seed(seed))


def book(size=N, width=D, kappa=1.0):
    torch.manual_seed(0)
    return Codebook(size, width, kappa)
