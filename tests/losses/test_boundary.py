"""Signed distances: by reference, of a ball, of labels of one kind, and blind to padding."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from tests.references import rivals as reference
from vpbsd.losses.boundary import clipped_distance, distance_loss, signed_distance

SHAPE = (2, 1, 3, 4, 5)


def draw(seed):
    stream = torch.Generator().manual_seed(seed)
    label = (torch.rand(SHAPE, generator=stream) > 0.7).float()
    return label, (torch.rand(SHAPE, generator=stream) > 0.2).float()


def ball(radius, side):
    axes = torch.meshgrid(*[torch.arange(side) - side // 2] * 3, indexing="ij")
    return (sum(a.square() for a in axes) <= radius**2).float()[None, None]


@given(seed=st.integers(0, 10_000), clip=st.integers(2, 6))
@settings(max_examples=10, deadline=None)
def test_maps_and_losses_equal_their_reference(seed, clip):
    label, valid = draw(seed)
    expected = reference.signed_distance(label.numpy(), valid.numpy(), clip)
    found = signed_distance(label, valid, clip)
    assert np.allclose(found.numpy(), expected, atol=1e-6)
    guess = torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed + 1)) * 2 - 1
    errors = ((guess.numpy() - expected) ** 2)[valid.numpy() == 1]
    assert distance_loss(guess, label, valid, clip).item() == pytest.approx(
        errors.mean(), abs=1e-6
    )


def test_distances_are_those_of_scipy_up_to_the_clip():
    where = torch.rand(1, 1, 20, 24, 28, generator=torch.Generator().manual_seed(0)) > 0.999
    expected = distance_transform_edt(~where[0, 0].numpy()).clip(max=10)
    assert expected.max() == 10
    assert np.allclose(clipped_distance(where, 10)[0, 0].numpy(), expected, atol=1e-6)


def test_a_ball_is_negative_inside_0_on_its_border_and_positive_outside():
    label = ball(8, 33)
    near = signed_distance(label, torch.ones_like(label), 5)[0, 0]
    line = near[16, 16]
    assert line[:9].tolist() == pytest.approx([1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2, 0], abs=1e-6)
    assert near.min() == near[16, 16, 16] == -1
    assert near.max() == 1
    assert (near[label[0, 0] == 0] > 0).all()
    assert (near[label[0, 0] == 1] <= 0).all()


def test_flipped_labels_flip_signs_away_from_the_border():
    label = ball(8, 33)
    real = torch.ones_like(label)
    one, other = signed_distance(label, real, 5), signed_distance(1 - label, real, 5)
    far = (one.abs() > 0.2001) & (other.abs() > 0.2001)
    assert far.float().mean() > 0.5
    assert torch.allclose(one[far], -other[far])


def test_labels_of_one_kind():
    real = torch.ones(SHAPE)
    assert (signed_distance(torch.zeros(SHAPE), real, 5) == 1).all()
    assert (signed_distance(torch.ones(SHAPE), real, 5) == -1).all()


def test_padded_labels_change_nothing_that_counts():
    label, valid = draw(3)
    other = torch.where(valid == 0, 1 - label, label)
    assert not torch.equal(label, other)
    one, two = (signed_distance(x, valid, 4) for x in (label, other))
    assert torch.equal(one[valid == 1], two[valid == 1])


def test_each_class_has_a_map_of_its_own():
    label, valid = draw(1)
    other = draw(2)[0] * (1 - label)
    both = signed_distance(torch.cat([label, other], 1), valid, 4)
    for k, one in enumerate((label, other)):
        assert torch.equal(both[:, k : k + 1], signed_distance(one, valid, 4))
