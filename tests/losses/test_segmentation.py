"""Overlap, cross entropy and reconstruction: by hand, by reference, and blind to padding."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.references import losses as reference
from vpbsd.losses.segmentation import (
    dice_ce,
    dice_loss,
    reconstruction_loss,
    shrunk,
    soft_dice_loss,
    supervised_loss,
    vessel_probability,
)

SHAPE = (2, 1, 3, 4, 5)


def grid(values):
    return torch.tensor(values).reshape(1, 1, 1, 1, -1)


def draw(seed, shape=SHAPE):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def padded(shape=SHAPE):
    """The last slice is padding."""
    valid = torch.ones(shape)
    valid[:, :, -1] = 0
    return valid


def test_dice_by_hand_has_a_linear_denominator():
    # 1 - 2*.5/(1+1) = .5; a squared denominator would give 1 - 2*.5/(.5+1) = .3333
    loss = dice_loss(grid([0.5, 0.5, 0.0, 0.0]), grid([1.0, 0.0, 0.0, 0.0]))
    assert loss.item() == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize(
    ("p", "g", "expected"),
    [([1.0, 0.0], [1.0, 0.0], 0.0), ([1.0, 0.0], [0.0, 1.0], 1.0), ([0.0, 0.0], [0.0, 0.0], 0.0)],
    ids=["identical", "disjoint", "both empty"],
)
def test_dice_at_its_limits(p, g, expected):
    assert dice_loss(grid(p), grid(g)).item() == pytest.approx(expected, abs=1e-4)


def test_dice_falls_when_a_true_positive_is_added():
    target = grid([1.0, 1.0, 1.0, 0.0])
    fewer, more = grid([1.0, 0.0, 0.0, 0.0]), grid([1.0, 1.0, 0.0, 0.0])
    assert dice_loss(more, target) < dice_loss(fewer, target)


def test_dice_sums_over_the_whole_batch():
    p, g = torch.tensor([[1.0, 1.0], [0.0, 0.0]]), torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    # 1 - 2*2/(2+3) over the batch; the mean of single samples would be .5
    loss = dice_loss(p.reshape(2, 1, 1, 1, 2), g.reshape(2, 1, 1, 1, 2))
    assert loss.item() == pytest.approx(0.2, abs=1e-4)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_losses_equal_their_reference(seed):
    logits, x = draw(seed, (2, 2, 3, 4, 5)), draw(seed + 1)
    target, valid = (draw(seed + 2) > 0).float(), (draw(seed + 3) > -1).float()
    p = vessel_probability(logits)
    expected = reference.vessel_probability(logits.double().numpy())
    assert p.double().numpy() == pytest.approx(expected, abs=1e-6)
    g, v = target.numpy(), valid.numpy()
    assert dice_loss(p, target, valid).item() == pytest.approx(
        reference.dice_loss(expected, g, v), abs=1e-6
    )
    assert dice_ce(logits, target, valid).item() == pytest.approx(
        reference.dice_ce(logits.double().numpy(), g, v), abs=1e-6
    )
    for kind, power in (("mse", 2), ("l1", 1)):
        assert reconstruction_loss(x, p, valid, kind).item() == pytest.approx(
            reference.reconstruction(x.double().numpy(), p.double().numpy(), v, power), abs=1e-6
        )


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_soft_dice_equals_its_reference_and_plain_dice_on_masks(seed):
    p, g, valid = draw(seed).sigmoid(), draw(seed + 1).sigmoid(), (draw(seed + 2) > -1).float()
    arrays = [x.double().numpy() for x in (p, g, valid)]
    expected = reference.soft_dice_loss(*arrays)
    assert soft_dice_loss(p, g, valid).item() == pytest.approx(expected, abs=1e-6)
    mask = (g > 0.5).float()
    plain = dice_loss(p, mask, valid).item()
    assert soft_dice_loss(p, mask, valid).item() == pytest.approx(plain, abs=1e-6)


def test_the_best_answer_to_a_soft_target_is_the_target():
    """The product of the plain loss asks for 1 where the target is .6."""
    target = grid([0.6, 0.1])
    assert soft_dice_loss(target, target).item() == 0
    for other in ([1.0, 0.1], [0.6, 0.0], [0.5, 0.1], [0.6, 0.2]):
        assert soft_dice_loss(grid(other), target).item() > 0.05
    assert dice_loss(grid([1.0, 0.0]), target) < dice_loss(target, target)


def test_soft_dice_by_hand():
    # |.5 - .6| + |.5 - 0| = .6 of 1.0 + .6
    loss = soft_dice_loss(grid([0.5, 0.5]), grid([0.6, 0.0]))
    assert loss.item() == pytest.approx(0.6 / 1.6, abs=1e-5)


def test_the_supervised_term_is_the_one_asked_for():
    logits, target, valid = draw(3, (2, 2, 3, 4, 5)), (draw(1) > 0).float(), padded()
    plain = dice_loss(vessel_probability(logits), target, valid)
    assert torch.equal(supervised_loss("dice", logits, target, valid), plain)
    both = dice_ce(logits, target, valid)
    assert torch.equal(supervised_loss("dice_ce", logits, target, valid), both)


def test_dice_ce_by_hand():
    logits = torch.zeros(1, 2, 1, 1, 2)  # p = .5 everywhere: CE ln 2, Dice 1 - 2*.5/(1+1)
    loss = dice_ce(logits, grid([1.0, 0.0]))
    assert loss.item() == pytest.approx((0.6931472 + 0.5) / 2, abs=1e-5)


def test_reconstruction_by_hand():
    x, x_hat = grid([0.0, 1.0]), grid([0.5, 1.0])
    assert reconstruction_loss(x, x_hat).item() == pytest.approx(0.125)
    assert reconstruction_loss(x, x_hat, kind="l1").item() == pytest.approx(0.25)


def test_padded_voxels_do_not_count():
    valid, target, x = padded(), (draw(1) > 0).float(), draw(2)
    other_target = torch.where(valid > 0, target, 1 - target)
    other_x = torch.where(valid > 0, x, x + 7)
    logits, p = draw(3, (2, 2, 3, 4, 5)), torch.rand(SHAPE, generator=torch.Generator())
    assert torch.equal(dice_loss(p, target, valid), dice_loss(p, other_target, valid))
    soft = soft_dice_loss(p, target, valid), soft_dice_loss(p, other_target, valid)
    assert torch.equal(*soft)
    assert torch.equal(dice_ce(logits, target, valid), dice_ce(logits, other_target, valid))
    for kind in ("mse", "l1"):
        same = reconstruction_loss(x, p, valid, kind), reconstruction_loss(other_x, p, valid, kind)
        assert torch.equal(*same)


def test_padded_voxels_receive_no_gradient():
    valid, logits = padded(), draw(3, (2, 2, 3, 4, 5)).requires_grad_()
    dice_ce(logits, (draw(1) > 0).float(), valid).backward()
    assert (logits.grad[:, :, -1] == 0).all()
    assert (logits.grad[:, :, :-1] != 0).any()


def test_a_batch_of_padding_alone_is_finite():
    nothing = torch.zeros(SHAPE)
    loss = dice_ce(draw(3, (2, 2, 3, 4, 5)), torch.ones(SHAPE), nothing)
    assert loss.item() == pytest.approx(0.0, abs=1e-6)


def test_half_precision_logits_are_summed_in_full_precision():
    logits = draw(3, (1, 2, 32, 32, 32)).bfloat16()
    target = (draw(4, (1, 1, 32, 32, 32)) > 0).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = dice_ce(logits, target)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(dice_ce(logits.float(), target).item(), abs=1e-6)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="shapes differ"):
        dice_loss(torch.rand(2, 1, 2, 2, 2), torch.rand(2, 2, 2, 2))
    with pytest.raises(ValueError, match="shapes differ"):
        soft_dice_loss(torch.rand(2, 1, 2, 2, 2), torch.rand(2, 2, 2, 2))
    with pytest.raises(ValueError, match="shapes differ"):
        reconstruction_loss(torch.rand(2, 1, 2, 2, 2), torch.rand(1, 1, 2, 2, 2))


def test_shrunk_by_hand():
    """Means of 2 x 2 x 2 voxels; a cube with one padded voxel does not count."""
    x = torch.arange(16.0).reshape(1, 1, 2, 2, 4)
    weight = torch.ones_like(x)
    weight[..., -1, -1] = 0
    image, kept = shrunk(x, weight, 2)
    # columns 0-1: 0 1 4 5 8 9 12 13; columns 2-3 are two more each
    assert image.flatten().tolist() == [6.5, 8.5]
    assert kept.flatten().tolist() == [1, 0]
    assert torch.equal(shrunk(x, weight, 1)[0], x)
    assert torch.equal(shrunk(x, weight, 1)[1], weight)
