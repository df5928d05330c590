"""Feature losses: symmetry, offsets, shares and where the gradient stops."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.references import losses as reference
from vpbsd.losses.distillation import feature_l1, feature_l2
from vpbsd.networks.heads import Regressor


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_by_hand():
    z, target = torch.tensor([[[[[1.0, -3.0]]]]]), torch.zeros(1, 1, 1, 1, 2)
    share = torch.tensor([[[[[1.0, 0.5]]]]])
    assert feature_l1(z, target).item() == pytest.approx(2.0)
    assert feature_l1(z, target, share).item() == pytest.approx((1 + 1.5) / 1.5)
    assert feature_l2(z, target).item() == pytest.approx((1 + 9) / 2 / 2)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_equal_their_reference(seed):
    z, target = draw(seed, 2, 3, 1, 2, 2), draw(seed + 1, 2, 3, 1, 2, 2)
    share = draw(seed + 2, 2, 1, 1, 2, 2).abs()
    arrays = [tensor.double().numpy() for tensor in (z, target, share)]
    absolute = reference.feature_error(*arrays, power=1)
    squared = reference.feature_error(*arrays, power=2)
    assert feature_l1(z, target, share).item() == pytest.approx(absolute, rel=1e-5)
    assert feature_l2(z, target, share).item() == pytest.approx(squared / 2, rel=1e-5)


@pytest.mark.parametrize("offset", [0.0, 0.75, -2.0])
def test_an_offset_costs_its_size(offset):
    codes = draw(0, 2, 4, 2, 2, 2)
    assert feature_l1(codes + offset, codes).item() == pytest.approx(abs(offset), abs=1e-6)


def test_any_single_difference_costs_something():
    codes = draw(0, 2, 4, 2, 2, 2)
    other = codes.clone()
    other[1, 3, 0, 1, 0] += 0.1
    assert feature_l1(other, codes).item() > 0


def test_the_gradient_reaches_the_regressor_and_not_the_target():
    torch.manual_seed(0)
    head, target = Regressor(4, 6), draw(1, 2, 6, 2, 2, 2).requires_grad_()
    feature_l1(head(draw(0, 2, 4, 2, 2, 2)), target).backward()
    assert target.grad is None
    assert all((weight.grad != 0).any() for weight in head.parameters())


def test_a_regressor_mixes_channels_per_voxel():
    head = Regressor(2, 1)
    head.weight.data, head.bias.data = (
        torch.tensor([[2.0, -1.0]])[..., None, None, None],
        torch.ones(1),
    )
    z = torch.tensor([[1.0, 5.0], [3.0, 0.0]]).reshape(1, 2, 1, 1, 2)
    # voxel by voxel: 2*1 - 3 + 1 = 0 and 2*5 - 0 + 1 = 11; a ReLU or norm would show at -9
    assert head(z).flatten().tolist() == [0.0, 11.0]
    assert head(-z).flatten().tolist() == [2.0, -9.0]


def test_padded_tokens_do_not_count():
    z, codes, share = draw(0, 1, 4, 2, 1, 1), draw(1, 1, 4, 2, 1, 1), torch.ones(1, 1, 2, 1, 1)
    share[:, :, 1] = 0
    other = codes.clone()
    other[:, :, 1] = 99
    assert torch.equal(feature_l1(z, codes, share), feature_l1(z, other, share))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="differ"):
        feature_l1(torch.rand(2, 4, 2, 2, 2), torch.rand(2, 1, 2, 2, 2))
