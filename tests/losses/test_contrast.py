"""Contrast of slices and of tokens: by reference, bounds by hand, blind to padding."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.references import rivals as reference
from vpbsd.losses.contrast import info_nce, pairwise_loss, similarities

TOKENS = (2, 5, 2, 2, 2)


def draw(seed, shape):
    stream = torch.Generator().manual_seed(seed)
    return (torch.randn(shape, generator=stream) for _ in range(2))


@given(seed=st.integers(0, 10_000), tau=st.sampled_from([0.1, 0.5, 1.0]))
@settings(max_examples=10, deadline=None)
def test_losses_equal_their_reference(seed, tau):
    a, b = draw(seed, (6, 4))
    expected = reference.info_nce(a.double().numpy(), b.double().numpy(), tau)
    assert info_nce(a, b, tau).item() == pytest.approx(expected, abs=1e-5)
    a, b = draw(seed, TOKENS)
    share = torch.rand(2, 1, *TOKENS[2:], generator=torch.Generator().manual_seed(seed))
    share[:, :, :, 0, 0] = 0
    arrays = (x.double().numpy() for x in (a, b, share))
    assert pairwise_loss(a, b, share).item() == pytest.approx(
        reference.pairwise(*arrays), abs=1e-5
    )


def test_slices_that_are_all_equal_cost_2_ln_n():
    assert info_nce(torch.ones(6, 3), torch.ones(6, 3), 0.5).item() == pytest.approx(
        3.5835189, abs=1e-6
    )


def test_slices_that_stand_apart_cost_nothing_when_it_is_cold():
    apart = torch.eye(5)
    assert info_nce(apart, 3 * apart, 0.01).item() == pytest.approx(0, abs=1e-6)
    assert info_nce(apart, apart.flip(0), 0.01).item() > 100


def test_the_order_of_slices_does_not_matter_if_it_is_the_same_for_both():
    a, b = draw(0, (6, 4))
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    assert info_nce(a[order], b[order], 0.5).item() == pytest.approx(info_nce(a, b, 0.5).item())
    assert abs(info_nce(a, b[order], 0.5).item() - info_nce(a, b, 0.5).item()) > 1e-3


@pytest.mark.parametrize(
    ("n", "equal", "least"),
    [(2, 2.0794415, 0.6664680), (4, 4.1588831, 2.2540378), (8, 6.2383246, 4.2507260)],
)
def test_bounds_of_pairwise_distillation(n, equal, least):
    """Of n^3 tokens: all alike, and the bound that no tokens of so many can reach."""
    alike, share = torch.ones(1, 3, n, n, n), torch.ones(1, 1, n, n, n)
    assert pairwise_loss(alike, alike, share).item() == pytest.approx(equal, abs=1e-5)
    a, b = draw(n, (1, 3, n, n, n))
    assert least < pairwise_loss(a, b, share).item()
    assert math.log(1 + (n**3 - 1) * math.exp(-2)) == pytest.approx(least, abs=1e-6)


def test_a_token_and_its_opposite_reach_the_bound():
    """ln(1 + e^-2) of two tokens."""
    two = torch.tensor([[1.0, -1.0], [0.0, 0.0]]).view(1, 2, 1, 1, 2)
    found = pairwise_loss(two, two, torch.ones(1, 1, 1, 1, 2)).item()
    assert found == pytest.approx(math.log(1 + math.exp(-2)), abs=1e-6)


def test_tokens_of_padding_count_for_nothing():
    a, b = draw(1, TOKENS)
    share = torch.ones(2, 1, *TOKENS[2:])
    share[:, :, 1] = 0
    changed = [torch.where(share == 0, torch.full_like(x, 7.0), x) for x in (a, b)]
    found = pairwise_loss(*changed, share).item()
    assert found == pytest.approx(pairwise_loss(a, b, share).item())


def test_cosines_are_computed_in_full_precision_under_autocast():
    a, b = draw(2, (64, 32))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(similarities(a, b), similarities(a, b).float())
        half = similarities(a, b)
    assert torch.equal(half, similarities(a, b))
