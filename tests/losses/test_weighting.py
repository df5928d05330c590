"""Means over what is real."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.references import losses as reference
from vpbsd.losses.weighting import token_share, weighted_mean


def test_weighted_mean_by_hand():
    values = torch.tensor([[1.0, 3.0], [10.0, 20.0]])
    # rows weigh 1 and 1/2: (1 + 3 + 5 + 10) / (1 + 1 + .5 + .5)
    assert weighted_mean(values, torch.tensor([[1.0], [0.5]])).item() == pytest.approx(19 / 3)
    assert weighted_mean(values).item() == pytest.approx(8.5)


def test_weighted_mean_of_nothing_is_zero():
    assert weighted_mean(torch.ones(3), torch.zeros(3)).item() == 0


def test_token_share_by_hand():
    valid = torch.ones(1, 1, 4, 4, 4)
    valid[..., 3:, :, :] = 0  # of the second layer of tokens, half
    assert token_share(valid, (2, 2, 2)).flatten().tolist() == [1] * 4 + [0.5] * 4


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_token_share_equals_its_reference(seed):
    valid = torch.rand(2, 1, 4, 6, 8, generator=torch.Generator().manual_seed(seed)) > 0.4
    expected = reference.token_share(valid.numpy(), (1, 3, 2))
    assert token_share(valid, (1, 3, 2)).numpy() == pytest.approx(expected, abs=1e-6)


def test_a_grid_must_divide_the_patch():
    with pytest.raises(ValueError, match="does not divide"):
        token_share(torch.ones(1, 1, 4, 4, 4), (3, 2, 2))
