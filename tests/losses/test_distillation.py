"""Feature and logit losses: worked values, shares and where the gradient stops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.references import losses as reference
from vpbsd.losses.distillation import (
    agreement,
    boundary_loss,
    feature_l1,
    feature_l2,
    gaussian_vid,
    softened_kl,
)
from vpbsd.networks.heads import LEAST_VARIANCE, Connector, Gaussian, Regressor


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


def one(*values):
    return torch.tensor(values).reshape(1, 1, 1, 1, -1)


@given(seed=st.integers(0, 10_000), temperature=st.sampled_from([1.0, 2.0, 4.0]))
@settings(max_examples=10, deadline=None)
def test_distilled_logits_equal_their_reference(seed, temperature):
    margin, target = (3 * draw(seed + i, 2, 1, 2, 2, 2) for i in range(2))
    valid = (draw(seed + 2, 2, 1, 2, 2, 2) > -1).float()
    valid[0, 0, 0, 0, 0] = 1
    arrays = [tensor.double().numpy() for tensor in (margin, target)]
    expected = reference.softened_kl(*arrays, temperature, valid.numpy())
    found = softened_kl(margin, target, temperature, valid).item()
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(("temperature", "expected"), [(1, 0.2180956), (4, 0.2763823)])
def test_distilled_logits_by_hand(temperature, expected):
    assert softened_kl(one(0.0), one(1.5), temperature).item() == pytest.approx(expected, abs=2e-6)


def test_distilled_logits_tend_to_an_eighth_of_the_squared_difference():
    """The reference, in double precision: 2.8e-7 at T = 1000 is too small for a float32 of .69."""
    margins = [one(m).double().numpy() for m in (0.0, 1.5)]
    valid = one(1.0).numpy()
    far = reference.softened_kl(*margins, 1000, valid)
    assert far == pytest.approx(0.2812499, abs=1e-7)
    assert far == pytest.approx(1.5**2 / 8, abs=1e-6)
    near = softened_kl(one(0.0), one(1.5), 16).item()
    assert near == pytest.approx(reference.softened_kl(*margins, 16, valid), rel=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_gradient_of_distilled_logits(temperature):
    """T (sigmoid(m_S / T) - sigmoid(m_T / T)) per voxel, none at the teacher; 0 where equal."""
    ours, theirs = one(0.5, -2.0, 1.0).requires_grad_(), one(2.0, 0.0, 1.0).requires_grad_()
    softened_kl(ours, theirs, temperature).backward()
    assert theirs.grad is None
    wanted = temperature * ((ours / temperature).sigmoid() - (theirs / temperature).sigmoid()) / 3
    torch.testing.assert_close(ours.grad, wanted.detach(), atol=1e-6, rtol=1e-4)
    assert ours.grad[..., 2].abs() < 1e-7


def test_distilled_logits_stay_finite_at_the_largest_margins():
    ours = one(-3e4, 3e4).requires_grad_()
    loss = softened_kl(ours, one(30.0, -30.0), 1.0)
    loss.backward()
    assert loss.item() == pytest.approx(3e4 + 30 - 30, rel=1e-3)
    assert ours.grad.isfinite().all()


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_the_variational_loss_equals_its_reference(seed):
    mean, target = (draw(seed + i, 2, 3, 1, 2, 2) for i in range(2))
    variance, share = draw(seed + 2, 3).abs() + 0.1, draw(seed + 3, 2, 1, 1, 2, 2).abs()
    arrays = [tensor.double().numpy() for tensor in (mean, variance, target, share)]
    found = gaussian_vid(mean, variance.view(1, 3, 1, 1, 1), target, share).item()
    assert found == pytest.approx(reference.gaussian_vid(*arrays), rel=1e-4, abs=1e-6)


def test_the_variational_loss_with_unit_variance_is_the_hint():
    mean, target = draw(0, 2, 3, 1, 2, 2), draw(1, 2, 3, 1, 2, 2)
    assert torch.equal(
        gaussian_vid(mean, torch.ones(1, 3, 1, 1, 1), target), feature_l2(mean, target)
    )


def test_the_best_variance_of_a_channel_is_its_squared_error():
    """There the loss is (1 + log of it) / 2, and its gradient is 0."""
    mean, target = draw(0, 2, 3, 1, 2, 2), draw(1, 2, 3, 1, 2, 2)
    best = (mean - target).square().mean((0, 2, 3, 4), keepdim=True).requires_grad_()
    loss = gaussian_vid(mean, best, target)
    loss.backward()
    assert loss.item() == pytest.approx(0.5 * (1 + best.log().mean().item()), rel=1e-5)
    assert best.grad.abs().max() < 1e-6


def test_the_gaussian_head_starts_at_its_variance_and_keeps_it_positive():
    torch.manual_seed(0)
    head = Gaussian(4, 6, hidden=5)
    assert head.rho[0].item() == pytest.approx(4.9932292, abs=1e-6)
    torch.testing.assert_close(head.variance, torch.full((6,), 5.0))
    mean, variance = head(draw(0, 2, 4, 1, 2, 2))
    assert (mean.shape, variance.shape) == ((2, 6, 1, 2, 2), (1, 6, 1, 1, 1))
    gaussian_vid(mean, variance, draw(1, 2, 6, 1, 2, 2)).backward()
    assert all((weight.grad != 0).any() for weight in head.parameters())
    with torch.no_grad():
        head.rho.fill_(-1e4)
    assert (head.variance >= LEAST_VARIANCE).all()


def test_the_order_of_channels_is_nothing_to_the_variational_loss():
    torch.manual_seed(0)
    head, z, target = Gaussian(4, 6, hidden=5), draw(0, 2, 4, 1, 2, 2), draw(1, 2, 6, 1, 2, 2)
    with torch.no_grad():
        head.rho.copy_(draw(2, 6))
        before = gaussian_vid(*head(z), target)
        order = torch.tensor([3, 1, 5, 0, 2, 4])
        head.rho.copy_(head.rho[order])
        head.mean[-1].weight.copy_(head.mean[-1].weight[order])
        after = gaussian_vid(*head(z), target[:, order])
    assert after.item() == pytest.approx(before.item(), rel=1e-6)
    assert gaussian_vid(*head(z), target).item() != pytest.approx(before.item(), rel=1e-3)


@pytest.mark.parametrize(
    ("s", "t", "expected"),
    [
        (0, 1, 1),
        (0, -1, 1),
        (1, 1, 0),
        (2, 1, 0),
        (-1, -1, 0),
        (-2, -1, 0),
        (-0.5, -3, 0.25),
        (-1, 1, 4),
        (2, -1, 9),
        (0.5, 0, 2.25),  # a teacher at zero is not active
    ],
)
def test_boundaries_by_hand(s, t, expected):
    assert boundary_loss(one(float(s)), one(float(t))).item() == pytest.approx(expected)


@given(seed=st.integers(0, 10_000), margin=st.sampled_from([0.5, 1.0, 2.0]))
@settings(max_examples=10, deadline=None)
def test_boundaries_equal_their_reference(seed, margin):
    z, target = (draw(seed + i, 2, 3, 1, 2, 2) for i in range(2))
    share = draw(seed + 2, 2, 1, 1, 2, 2).abs()
    arrays = [tensor.double().numpy() for tensor in (z, target)]
    expected = reference.boundary_loss(*arrays, margin, share.double().numpy())
    assert boundary_loss(z, target, margin, share).item() == pytest.approx(expected, rel=1e-4)


def test_boundaries_heed_the_teachers_side_only():
    z, target = draw(0, 2, 4, 2, 2, 2).requires_grad_(), draw(1, 2, 4, 2, 2, 2).requires_grad_()
    loss = boundary_loss(z, target)
    assert torch.equal(loss, boundary_loss(z, 7.5 * target))
    loss.backward()
    assert target.grad is None
    assert (z.grad != 0).any()


def test_agreement_counts_elements_on_the_teachers_side():
    z = torch.tensor([1.0, -2.0, 0.5, -1.0]).view(1, 2, 1, 1, 2)
    target = torch.tensor([3.0, 1.0, -0.1, -9.0]).view(1, 2, 1, 1, 2)
    assert agreement(z, target).item() == pytest.approx(1 / 2)
    share = torch.tensor([1.0, 0.5]).view(1, 1, 1, 1, 2)
    assert agreement(z, target, share).item() == pytest.approx((1 + 0.5) / 3)
    share = torch.tensor([1.0, 0.0]).view(1, 1, 1, 1, 2)
    assert agreement(-z[:, :1], target[:, :1], share).item() == 0


def test_a_connector_is_normalised_token_by_token():
    torch.manual_seed(0)
    connector, z = Connector(4, 6), draw(0, 2, 4, 2, 2, 2)
    found = connector(z)
    assert found.shape == (2, 6, 2, 2, 2)
    torch.testing.assert_close(found.mean(1), torch.zeros(2, 2, 2, 2), atol=1e-5, rtol=0)
    other = z.clone()
    other[1], other[0, :, 1] = 99, -99
    assert torch.equal(connector(other)[0, :, 0], found[0, :, 0])
    assert math.isclose(found[0, :, 0, 0, 0].var(unbiased=False).item(), 1, rel_tol=1e-2)


@pytest.mark.parametrize(
    "loss",
    [
        lambda z, target: softened_kl(z, target, 4.0),
        boundary_loss,
        agreement,
        lambda z, target: gaussian_vid(z, torch.ones(1, 4, 1, 1, 1), target),
    ],
)
def test_every_loss_refuses_other_shapes(loss):
    with pytest.raises(ValueError, match="differ"):
        loss(torch.rand(2, 4, 2, 2, 2), torch.rand(2, 1, 2, 2, 2))
