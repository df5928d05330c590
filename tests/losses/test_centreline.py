"""soft-clDice: by reference, on tubes whose answer is known, and blind to padding."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.references import losses as reference
from vpbsd.losses.centreline import cldice_loss, soft_skeleton

SHAPE = (2, 1, 4, 5, 6)


def draw(seed, shape=SHAPE):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def tube(radius, length=24, start=0, at=8):
    """Along x in 16 x 16 x 24 voxels, square in section; radius 0 is one voxel wide."""
    x = torch.zeros(1, 1, 16, 16, 24)
    side = slice(at - radius, at + radius + 1)
    x[..., side, side, start : start + length] = 1
    return x


@given(seed=st.integers(0, 10_000), iterations=st.integers(0, 2))
@settings(max_examples=6, deadline=None)
def test_equals_its_reference(seed, iterations):
    p, g = draw(seed), (draw(seed + 1) > 0.5).float()
    valid = torch.ones(SHAPE)
    valid[:, :, -1] = 0
    expected = reference.cldice_loss(*((x * valid).double().numpy() for x in (p, g)), iterations)
    assert cldice_loss(p, g, valid, iterations).item() == pytest.approx(expected, abs=1e-5)


def test_a_line_is_its_own_skeleton():
    line = tube(0)
    assert torch.equal(soft_skeleton(line, 3), line)


def test_a_tube_has_a_skeleton_once_it_is_peeled_to_its_middle():
    """Of radius 3: gone from every voxel but the middle line after 3 erosions."""
    assert soft_skeleton(tube(3), 2).sum() == 0
    skeleton = soft_skeleton(tube(3), 3)
    assert torch.equal(skeleton.nonzero()[:, 2:4].unique(dim=0), torch.tensor([[8, 8]]))


def test_identical_disjoint_and_empty():
    t = tube(2)
    assert cldice_loss(t, t, None, 3).item() == pytest.approx(0, abs=1e-6)
    assert cldice_loss(tube(1, at=3), tube(1, at=12), None, 3).item() > 0.9
    empty = torch.zeros_like(t)
    assert cldice_loss(empty, empty, None, 3).item() == pytest.approx(0, abs=1e-6)


def test_a_thin_answer_costs_little_and_a_gap_much():
    truth = tube(2)
    thin, gap = tube(0), truth.clone()
    gap[..., 8:16] = 0
    assert cldice_loss(thin, truth, None, 3).item() < 0.05
    assert cldice_loss(gap, truth, None, 3).item() > 0.15
    assert thin.sum() < gap.sum()  # though by volume the gap is far smaller


def test_padding_changes_nothing_and_takes_no_gradient():
    p, g, valid = draw(0), (draw(1) > 0.5).float(), torch.ones(SHAPE)
    valid[:, :, -1] = 0
    other_p, other_g = (torch.where(valid > 0, x, 1 - x) for x in (p, g))
    assert torch.equal(cldice_loss(p, g, valid, 2), cldice_loss(other_p, other_g, valid, 2))
    p.requires_grad_()
    cldice_loss(p, g, valid, 2).backward()
    assert (p.grad[:, :, -1] == 0).all()
    assert (p.grad != 0).any()
