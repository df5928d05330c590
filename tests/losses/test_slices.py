"""Losses on slices: the papers' formulas in loops, worked values, what must not change them."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.references import pretraining as reference
from vpbsd.losses.slices import (
    comparative_loss,
    contrastive_loss,
    slab_contrast,
    slab_places,
    slice_similarities,
    take_slices,
    triplet_readings,
)

LOSSES = comparative_loss, partial(contrastive_loss, tau=1.0)
LN2, BEST, WORST = 0.6931472, 0.1269280, 2.1269280


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def ones(slices):
    return torch.ones(slices.shape[:2])


def arrays(slices):
    return slices.double().numpy()


def perfect(volumes, slabs):
    """Slices of which those of one slab are equal, of two slabs opposite: two slabs only."""
    base = torch.tensor([[1.0, 2.0], [-1.0, -2.0]])[:slabs]
    return base.repeat(volumes, 1, 1)


@given(seed=st.integers(0, 10_000), tau=st.sampled_from([0.1, 0.5, 1.0]))
@settings(max_examples=8, deadline=None)
def test_equal_their_reference(seed, tau):
    slices = draw(seed, 3, 4, 5)
    s, weight = slice_similarities(slices), ones(slices)
    expected = reference.comparative(arrays(slices))
    assert comparative_loss(s, weight).item() == pytest.approx(expected, rel=1e-5)
    expected = reference.contrastive(arrays(slices), tau)
    assert contrastive_loss(s, weight, tau).item() == pytest.approx(expected, rel=1e-5)
    z, slab = draw(seed + 1, 7, 3), torch.tensor([0, 1, 2, 0, 1, 2, 0])
    expected = reference.slab_contrast(arrays(z), slab.tolist(), tau)
    found = slab_contrast(z, slab, torch.ones(7), tau).item()
    assert found == pytest.approx(expected, rel=1e-4)


def test_worked_values():
    """ln 2 and ln P where all slices are equal, the printed bounds at their best and worst."""
    equal = torch.ones(3, 4, 6)
    assert comparative_loss(slice_similarities(equal), ones(equal)).item() == pytest.approx(LN2)
    assert contrastive_loss(slice_similarities(equal), ones(equal), 1.0).item() == pytest.approx(
        1.3862944
    )
    best = perfect(2, 2)
    assert comparative_loss(slice_similarities(best), ones(best)).item() == pytest.approx(BEST)
    worst = torch.stack([best[0, :1], -best[0, :1]]).expand(2, 2, 2)  # a volume is the other's -1
    assert comparative_loss(slice_similarities(worst), ones(worst)).item() == pytest.approx(WORST)
    four = torch.full((2, 2, 4, 4), 1.0) - 2 * (1 - torch.eye(4))  # s+ = 1, s- = -1
    weight = torch.ones(2, 4)
    assert contrastive_loss(four, weight, 1.0).item() == pytest.approx(0.3407530)
    assert contrastive_loss(four, weight, 1.0).item() == pytest.approx(
        math.log(1 + 3 * math.exp(-2))
    )


def test_with_two_slabs_both_are_the_same_term_by_term():
    """Each entry of s is in the same terms of both, so that their gradients are equal too."""
    s, weight = slice_similarities(draw(3, 3, 2, 5)), torch.ones(3, 2)
    gradients = []
    for loss in LOSSES:
        leaf = s.clone().requires_grad_()
        loss(leaf, weight).backward()
        gradients.append(leaf.grad)
    assert torch.allclose(*gradients)
    assert torch.allclose(comparative_loss(s, weight), contrastive_loss(s, weight, 1.0))


def test_swapping_similar_and_dissimilar_costs_their_difference():
    """l(a) - l(-a) = a, for one triplet kind: two volumes whose every margin is a."""
    s = torch.zeros(2, 2, 2, 2)
    for i in range(2):
        s[i, i] = 0.7  # dissimilar by .7, similar 0
    margin = comparative_loss(s, torch.ones(2, 2)) - comparative_loss(-s, torch.ones(2, 2))
    assert margin.item() == pytest.approx(0.7)


def test_a_reference_may_be_scaled():
    slices = draw(5, 3, 4, 6)
    scaled = slices.clone()
    scaled[1, 2] *= 3.5
    weight = ones(slices)
    for loss in LOSSES:
        plain = loss(slice_similarities(slices), weight)
        assert torch.allclose(plain, loss(slice_similarities(scaled), weight))


def test_the_order_of_volumes_does_not_matter():
    slices, weight = draw(6, 3, 4, 6), torch.rand(3, 4)
    order = torch.tensor([2, 0, 1])
    for loss in LOSSES:
        plain = loss(slice_similarities(slices), weight)
        assert torch.allclose(plain, loss(slice_similarities(slices[order]), weight[order]))


def test_triplets_are_counted():
    """M (M - 1) P (P - 1) of them, each with the gradient of its own margin."""
    volumes, slabs = 3, 4
    s = torch.zeros(volumes, volumes, slabs, slabs, requires_grad=True)
    comparative_loss(s, torch.ones(volumes, slabs)).backward()
    count = volumes * (volumes - 1) * slabs * (slabs - 1)
    assert len(reference.triplets(volumes, slabs)) == count
    similar = {(i, j, p, p) for i, j, p, _ in reference.triplets(volumes, slabs)}
    dissimilar = {(i, i, p, q) for i, _, p, q in reference.triplets(volumes, slabs)}
    moved = {tuple(index) for index in s.grad.nonzero().tolist()}
    assert moved == similar | dissimilar
    assert s.grad[s.grad > 0].sum().item() == pytest.approx(0.5)  # slope of softplus at 0
    assert s.grad[s.grad < 0].sum().item() == pytest.approx(-0.5)


def test_slices_without_image_count_for_nothing():
    slices, weight = draw(7, 3, 4, 6), torch.ones(3, 4)
    weight[1, 3] = 0
    other = slices.clone()
    other[1, 3] = 100 * draw(8, 6)
    z, slab = slices.flatten(0, 1), torch.arange(4).repeat(3)
    for loss in LOSSES:
        s, changed = slice_similarities(slices), slice_similarities(other)
        assert loss(s, weight) == loss(changed, weight)
        assert loss(s, ones(slices)) != loss(changed, ones(slices))
    flat = weight.flatten()
    assert slab_contrast(z, slab, flat, 0.1) == slab_contrast(other.flatten(0, 1), slab, flat, 0.1)
    assert triplet_readings(slice_similarities(slices), weight) == triplet_readings(
        slice_similarities(other), weight
    )


def test_no_slice_at_all_costs_nothing_and_has_a_gradient():
    slices = draw(9, 2, 3, 4).requires_grad_()
    for loss in LOSSES:
        value = loss(slice_similarities(slices), torch.zeros(2, 3))
        assert value.item() == 0
        assert torch.autograd.grad(value, slices)[0].isfinite().all()
    one = torch.zeros(2, 3)
    one[:, 0] = 1  # one slab only: nothing to repel
    value = slab_contrast(slices.flatten(0, 1), torch.arange(3).repeat(2), one.flatten(), 0.1)
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert torch.autograd.grad(value, slices)[0].isfinite().all()


@pytest.mark.parametrize(("count", "slabs"), [(4, 4), (8, 4), (10, 4), (64, 8)])
def test_each_slab_gives_one_slice(count, slabs):
    stream = torch.Generator().manual_seed(0)
    drawn = torch.stack([slab_places(count, slabs, 3, stream) for _ in range(200)])
    borders = [p * count // slabs for p in range(slabs + 1)]
    for p in range(slabs):
        found = set(drawn[..., p].flatten().tolist())
        assert found == set(range(borders[p], borders[p + 1]))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_cut_and_padding_is_zero(axis):
    volume = draw(1, 2, 3, 4, 5, 6)
    valid = torch.ones(2, 1, 4, 5, 6)
    valid[1].movedim(axis + 1, 0)[3] = 0  # plane 3 of the second volume
    places = torch.tensor([[0, 3], [2, 3]])
    slices, weight = take_slices(volume, valid, axis, places)
    assert weight.tolist() == [[1, 1], [1, 0]]
    for i, p in np.ndindex(2, 2):
        expected = volume[i].select(axis + 1, places[i, p]).flatten()
        assert torch.equal(slices[i, p], expected * weight[i, p])


def test_readings_by_hand():
    """Two volumes, two slabs: similar cosines 1, dissimilar 0, all four triplets right."""
    s = slice_similarities(torch.eye(2).repeat(2, 1, 1))
    assert triplet_readings(s, torch.ones(2, 2)) == {
        "s_similar": 1.0,
        "s_dissimilar": 0.0,
        "triplets_right": 1.0,
    }


@pytest.mark.parametrize("name", ["comparative", "contrastive", "slab"])
def test_half_precision_changes_no_loss(name):
    slices, weight = draw(2, 3, 4, 40), torch.ones(3, 4)

    z, slab = slices.flatten(0, 1), torch.arange(4).repeat(3)
    losses = {
        "comparative": lambda: comparative_loss(slice_similarities(slices), weight),
        "contrastive": lambda: contrastive_loss(slice_similarities(slices), weight, 0.1),
        "slab": lambda: slab_contrast(z, slab, weight.flatten(), 0.1),
    }
    found = losses[name]
    with torch.autocast("cpu", torch.bfloat16):
        half = found()
    assert torch.equal(half, found())


def test_cosines_of_slices_by_their_four_numbers():
    slices = draw(4, 2, 3, 5)
    s = slice_similarities(slices)
    for i, j, p, q in np.ndindex(2, 2, 3, 3):
        expected = torch.cosine_similarity(slices[i, p], slices[j, q], dim=0)
        assert s[i, j, p, q].item() == pytest.approx(expected.item(), abs=1e-6)
