"""Balanced contrast by label: by reference, by hand, under imbalance, and where nothing pairs."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.references import rivals as reference
from vpbsd.losses.supervised_contrast import supervised_contrast

EACH = {"balanced": [True, False]}


def draw(seed, n=9):
    stream = torch.Generator().manual_seed(seed)
    labels = (torch.rand(n, generator=stream) > 0.7).float()
    return torch.randn(n, 4, generator=stream), labels, torch.rand(n, generator=stream) > 0.4


@given(seed=st.integers(0, 10_000), balanced=st.booleans())
@settings(max_examples=20, deadline=None)
def test_it_equals_its_reference(seed, balanced):
    vectors, labels, anchors = draw(seed)
    found = supervised_contrast(vectors, labels, anchors, 0.3, balanced=balanced)
    arrays = (vectors.double().numpy(), labels.tolist(), anchors.tolist())
    expected = reference.supervised_contrast(*arrays, 0.3, balanced)
    assert (found is None) == (expected is None)
    assert found is None or found.item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("ones", [2, 5, 60])
def test_what_is_all_alike_costs_ln_2_whatever_the_imbalance(ones):
    labels = torch.tensor([1.0] * ones + [0.0] * 6)
    alike, every = torch.ones(len(labels), 3), labels >= 0
    found = supervised_contrast(alike, labels, every, 0.1)
    assert found.item() == pytest.approx(0.6931472, abs=1e-5)
    plain = supervised_contrast(alike, labels, every, 0.1, balanced=False)
    assert plain.item() == pytest.approx(math.log(len(labels) - 1), abs=1e-5)


@pytest.mark.parametrize(
    ("other", "expected"), [((0.0, 1.0), 4.539890e-5), ((-1.0, 0.0), 2.061e-9)]
)
def test_classes_that_stand_apart(other, expected):
    """ln(1 + e^(-1 / tau)) if orthogonal, ln(1 + e^(-2 / tau)) if opposite, tau .1."""
    vectors = torch.tensor([[1.0, 0.0]] * 3 + [list(other)] * 4)
    labels = torch.tensor([1.0] * 3 + [0.0] * 4)
    found = supervised_contrast(vectors, labels, labels >= 0, 0.1).item()
    assert found == pytest.approx(expected, abs=2e-6)


def test_more_of_one_class_hardly_matters_unless_it_is_unbalanced():
    vectors, labels, _ = draw(5, 40)
    more = (torch.cat([vectors, vectors[labels == 0].repeat(4, 1)]),)
    more += (torch.cat([labels, torch.zeros(int((labels == 0).sum()) * 4)]),)

    def moved(balanced):
        few, many = (
            supervised_contrast(v, y, y > 0.5, 1.0, balanced=balanced).item()
            for v, y in ((vectors, labels), more)
        )
        return abs(few - many)

    assert moved(balanced=True) < 1e-5
    assert moved(balanced=False) > 0.5


def test_the_order_does_not_matter():
    vectors, labels, anchors = draw(3)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    one = supervised_contrast(vectors, labels, anchors, 0.1)
    other = supervised_contrast(vectors[order], labels[order], anchors[order], 0.1)
    assert other.item() == pytest.approx(one.item(), rel=1e-5)


def test_a_class_of_one_voxel_anchors_nothing():
    vectors, labels = draw(1)[0], torch.tensor([1.0] + [0.0] * 8)
    assert supervised_contrast(vectors, labels, labels > 0.5, 0.1) is None
    vectors.requires_grad_()
    cost = supervised_contrast(vectors, labels, labels >= 0, 0.1)
    cost.backward()
    assert cost.isfinite()
    assert vectors.grad.isfinite().all()
