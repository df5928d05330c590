"""Where the codebook loss's gradients go, and what it is worth."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.references import losses as reference
from vpbsd.losses.codebook import codebook_loss, squared_error


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_by_hand():
    tokens, codes = torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0, 2.0]])
    # mean of squares 1; both terms are alike: 1 + .25 * 1
    assert codebook_loss(tokens, codes, 0.25).item() == pytest.approx(1.25)
    assert codebook_loss(tokens, codes, 1.0).item() == pytest.approx(2.0)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_equals_its_reference(seed):
    tokens, codes, weights = draw(seed, 6, 4), draw(seed + 1, 6, 4), draw(seed + 2, 6).abs()
    expected = reference.codebook_loss(
        tokens.double().numpy(), codes.double().numpy(), 0.3, weights.double().numpy()
    )
    loss = codebook_loss(tokens, codes, 0.3, weights)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_each_term_moves_one_side_only():
    tokens, codes = draw(0, 3, 4).requires_grad_(), draw(1, 3, 4).requires_grad_()
    codebook_loss(tokens, codes, commitment=0.0).backward()
    assert (tokens.grad == 0).all()
    # d/dv of mean (e - v)^2 over 12 elements
    assert torch.allclose(codes.grad, 2 * (codes - tokens).detach() / 12)
    codes.grad = None
    codebook_loss(tokens, codes, commitment=0.5).backward()
    assert torch.allclose(tokens.grad, (tokens - codes).detach() / 12)
    assert torch.allclose(codes.grad, 2 * (codes - tokens).detach() / 12)


def test_a_token_on_its_code_costs_nothing():
    tokens = draw(0, 3, 4)
    assert codebook_loss(tokens, tokens.clone(), 1.0).item() == 0
    assert squared_error(tokens, tokens.clone()).item() == 0


def test_padded_tokens_do_not_count():
    tokens, codes, weights = draw(0, 3, 4), draw(1, 3, 4), torch.tensor([1.0, 0.5, 0.0])
    moved = tokens.clone()
    moved[2] += 5
    assert torch.equal(
        codebook_loss(tokens, codes, 0.25, weights), codebook_loss(moved, codes, 0.25, weights)
    )


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="shapes differ"):
        codebook_loss(torch.rand(3, 4), torch.rand(1, 4))
