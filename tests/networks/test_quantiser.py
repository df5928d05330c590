"""The quantised bottleneck as a whole."""

import pytest
import torch

from vpbsd.networks.alignment import alignment
from vpbsd.networks.codebook import Codebook, gumbel
from vpbsd.networks.quantiser import PatternQuantiser, grid_of

GRID, WIDE, NARROW, N = (1, 2, 2), 12, 4, 8


def build(kind="conv1", grid=GRID):
    torch.manual_seed(0)
    dn, up = alignment(kind, WIDE, NARROW, grid)
    return PatternQuantiser(dn, up, Codebook(N, NARROW))


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ["conv1", "linear", "chsel", "linear_flat"])
@pytest.mark.parametrize("grid", [GRID, (2, 2, 2)])
def test_shapes(kind, grid):
    quantiser, z = build(kind, grid), draw(0, 3, WIDE, *grid)
    count = 3 * grid[0] * grid[1] * grid[2]
    g = gumbel((count, N), torch.Generator().manual_seed(0))
    u, record = quantiser(z, g, 1.0, "post")
    assert u.shape == z.shape
    assert record.vectors.shape == (count, NARROW)
    assert torch.equal(quantiser.align(z), record.tokens)


def test_tokens_return_to_their_places():
    e = draw(0, 2, NARROW, 2, 2, 3)
    tokens = e.permute(0, 2, 3, 4, 1).reshape(-1, NARROW)
    assert torch.equal(grid_of(tokens, (2, 2, 3)), e)


@pytest.mark.parametrize("kind", ["conv1", "linear", "chsel"])
def test_projecting_the_mixture_is_mixing_the_projections(kind):
    quantiser = build(kind)
    weights = torch.softmax(draw(1, 8, N), 1)  # two samples of 1x2x2 tokens
    codes = quantiser.codebook.vectors
    one_by_one = quantiser.project(codes.repeat_interleave(4, 0), GRID)[..., 0, 0, 0]
    mixture_first = quantiser.project(weights @ codes, GRID)
    mixture_last = grid_of(weights @ one_by_one, GRID)
    assert torch.allclose(mixture_first, mixture_last, atol=1e-6)


def test_continuous_is_alignment_there_and_back():
    quantiser, z = build("chsel"), draw(0, 2, WIDE, *GRID)
    u, record = quantiser(z, mode="continuous")
    assert torch.equal(u[:, :NARROW], grid_of(record.tokens, GRID))
    assert (u[:, NARROW:] == 0).all()


def test_copy_reaches_the_encoder():
    quantiser, z = build(), draw(0, 2, WIDE, *GRID).requires_grad_()
    quantiser(z, mode="copy")[0].square().sum().backward()
    assert (z.grad != 0).any()
    assert quantiser.codebook.vectors.grad is None


def test_evaluation_is_deterministic_and_independent_of_the_batch():
    quantiser, z = build().eval(), draw(0, 4, WIDE, *GRID)
    u, record = quantiser(z)
    alone = [quantiser(z[i : i + 1]) for i in range(4)]
    assert torch.equal(record.indices, torch.cat([one[1].indices for one in alone]))
    assert torch.allclose(u, torch.cat([one[0] for one in alone]), atol=1e-6)
