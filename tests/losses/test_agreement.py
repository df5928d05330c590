"""Agreement, entropy and certainty: by hand, by reference, and blind to padding."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.references import losses as reference
from vpbsd.losses.agreement import certainty_threshold, consistency_loss, entropy, entropy_loss

SHAPE = (2, 1, 3, 4, 5)


def draw(seed, shape=SHAPE):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_losses_equal_their_reference(seed):
    p, q, valid = draw(seed), draw(seed + 1), (draw(seed + 2) > 0.3).float()
    arrays = [x.double().numpy() for x in (p, q, valid)]
    expected = reference.masked_consistency(*arrays)
    assert consistency_loss(p, q, valid).item() == pytest.approx(expected, abs=1e-6)
    expected = reference.entropy_loss(arrays[0], arrays[2])
    assert entropy_loss(p, valid).item() == pytest.approx(expected, abs=1e-6)


def test_consistency_by_hand():
    p, q = torch.tensor([[[[[0.5, 1.0]]]]]), torch.tensor([[[[[0.0, 0.8]]]]])
    assert consistency_loss(p, q).item() == pytest.approx((0.25 + 0.04) / 2)
    assert consistency_loss(p, q, torch.tensor([[[[[0.0, 1.0]]]]])).item() == pytest.approx(0.04)
    assert consistency_loss(p, p).item() == 0


def test_no_certain_voxel_costs_nothing_and_stays_finite():
    p = draw(0).requires_grad_()
    loss = consistency_loss(p, draw(1), torch.zeros(SHAPE))
    loss.backward()
    assert loss.item() == 0
    assert (p.grad == 0).all()


def test_the_target_takes_no_gradient():
    p, q = draw(0).requires_grad_(), draw(1).requires_grad_()
    consistency_loss(p, q).backward()
    assert q.grad is None
    assert (p.grad != 0).any()


def test_entropy_of_an_even_answer_is_ln_2_and_of_a_sure_one_0():
    assert entropy(torch.tensor(0.5)).item() == pytest.approx(math.log(2), abs=2.1e-6)
    assert entropy(torch.tensor(0.5).double()).item() == pytest.approx(0.6931452, abs=1e-7)
    assert entropy(torch.tensor([0.0, 1.0])).tolist() == pytest.approx([0, 0], abs=1e-5)
    assert entropy_loss(torch.full(SHAPE, 0.5)).item() == pytest.approx(0.9999971, abs=2e-7)


@pytest.mark.parametrize("margin", [-3.0, -0.5, 0.2, 4.0])
def test_entropy_pushes_the_margin_away_from_0(margin):
    m = torch.tensor([margin]).requires_grad_()
    entropy_loss(m.sigmoid()).backward()
    s = 1 / (1 + math.exp(-margin))
    assert m.grad.item() == pytest.approx(-margin * s * (1 - s) / math.log(2), abs=2e-5)
    assert (m.grad.item() < 0) == (margin > 0)


@pytest.mark.parametrize(("t", "expected"), [(0, 0.5210280), (50, 0.5695079), (100, 0.6931472)])
def test_certainty_thresholds_by_hand(t, expected):
    assert certainty_threshold(t, 100) == pytest.approx(expected, abs=1e-7)


@given(t=st.integers(0, 120), start=st.sampled_from([0.5, 0.75]))
@settings(max_examples=20, deadline=None)
def test_thresholds_rise_and_equal_their_reference(t, start):
    found = certainty_threshold(t, 100, start)
    assert found == pytest.approx(reference.certainty_threshold(t, 100, start), rel=1e-12)
    assert found <= certainty_threshold(t + 1, 100, start) <= math.log(2)


def test_at_the_end_every_voxel_is_certain():
    assert (entropy(torch.linspace(0, 1, 101)) < certainty_threshold(100, 100)).all()
