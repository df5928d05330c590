"""What two networks learn of each other: by reference, by hand, and where gradients stop."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.references import losses, rivals
from vpbsd.losses.cross_teaching import cross_dice, cross_entropies, hard_labels

SHAPE = (2, 2, 3, 4, 2)


def draw(seed):
    stream = torch.Generator().manual_seed(seed)
    first, second = (torch.randn(SHAPE, generator=stream) for _ in range(2))
    return first, second, (torch.rand(2, 1, *SHAPE[2:], generator=stream) > 0.3).float()


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_losses_equal_their_reference(seed):
    first, second, valid = draw(seed)
    a, b, v = (x.double().numpy() for x in (first, second, valid))
    assert (hard_labels(first).numpy() == rivals.hard_labels(a)).all()
    expected = rivals.cross_entropies(a, b, v)
    assert cross_entropies(first, second, valid).item() == pytest.approx(expected, abs=1e-5)
    expected = losses.dice_loss(losses.vessel_probability(a), rivals.hard_labels(b), v)
    assert cross_dice(first, second, valid).item() == pytest.approx(expected, abs=1e-6)


def test_two_networks_by_hand():
    """One is even, so background; the other is sure of vessel, three to one."""
    even = torch.zeros(1, 2, 1, 1, 1)
    sure = torch.tensor([0.0, math.log(3)]).view(1, 2, 1, 1, 1)
    found = cross_entropies(even, sure).item()
    assert found == pytest.approx(math.log(2) + math.log(4), abs=1e-6)


def test_a_network_learns_from_the_other_and_teaches_it_nothing():
    first, second, valid = draw(0)
    first.requires_grad_(), second.requires_grad_()
    cross_dice(first, second, valid).backward()
    assert second.grad is None
    assert first.grad.any()
    twice = draw(0)[0]
    own = losses.cross_entropy(twice.double().numpy(), hard_labels(twice).numpy(), valid.numpy())
    assert cross_entropies(twice, twice, valid).item() == pytest.approx(2 * own, abs=1e-5)


def test_hard_labels_of_several_classes_have_a_channel_each():
    logits = torch.tensor([[0.0, 3.0, 1.0], [2.0, 1.0, 1.0], [0.0, 1.0, 5.0]]).T.reshape(
        1, 3, 1, 1, 3
    )
    assert hard_labels(logits).flatten(2).squeeze(0).tolist() == [[1, 0, 0], [0, 0, 1]]
