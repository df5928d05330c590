"""Several foreground classes: each loss against a naive writing, class by class."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vpbsd.losses.agreement import certainty_threshold, consistency_loss, entropy, entropy_loss
from vpbsd.losses.centreline import cldice_loss
from vpbsd.losses.classes import class_numbers, decided, hard_labels, margin_probability, margins
from vpbsd.losses.distillation import softened_kl
from vpbsd.losses.segmentation import dice_ce, dice_loss, soft_dice_loss, vessel_probability

K = 2
SHAPE = (2, 1 + K, 3, 4, 5)


def draw(seed, shape=SHAPE):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def logits():
    return draw(0)


@pytest.fixture
def label():
    """Numbers of classes (B, 1, D, H, W)."""
    return torch.randint(0, 1 + K, (2, 1, 3, 4, 5), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def target(label):
    return torch.cat([label == 1, label == 2], 1).float()


@pytest.fixture
def valid():
    return (draw(2, (2, 1, 3, 4, 5)) > -0.5).float()


def naive_dice(p, g, w):
    p, g, w = (x.double().numpy().ravel() for x in (p, g, w))
    return 1 - 2 * sum(w * p * g) / (sum(w * p) + sum(w * g))


def test_dice_is_the_mean_over_classes_of_each_alone(logits, target, valid):
    p = logits.softmax(1)
    wanted = np.mean([naive_dice(p[:, k], target[:, k - 1], valid) for k in (1, 2)])
    assert dice_loss(vessel_probability(logits), target, valid).item() == pytest.approx(
        wanted, abs=1e-5
    )


def test_soft_dice_of_a_hard_target_is_the_plain_one(logits, target, valid):
    p = vessel_probability(logits)
    hard = dice_loss(p, target, valid).item()
    assert soft_dice_loss(p, target, valid).item() == pytest.approx(hard, abs=1e-5)


def test_cross_entropy_counts_background_too(logits, target, label, valid):
    losses = F.cross_entropy(logits.double(), label[:, 0], reduction="none")[:, None]
    mean = (losses * valid).sum() / valid.sum()
    wanted = (mean + dice_loss(vessel_probability(logits), target, valid)) / 2
    assert dice_ce(logits, target, valid).item() == pytest.approx(wanted.item(), abs=1e-6)


def test_channels_and_numbers_are_the_same_label(target, label):
    assert torch.equal(class_numbers(target), label[:, 0])


def test_a_decision_is_the_argmax(logits):
    best = logits.argmax(1, keepdim=True)
    wanted = torch.cat([best == 1, best == 2], 1).float()
    assert torch.equal(decided(vessel_probability(logits)), wanted)


def test_margins_say_all_of_probabilities(logits):
    assert torch.allclose(margin_probability(margins(logits)), logits.softmax(1)[:, 1:], atol=1e-6)


def test_distillation_is_the_divergence_of_softened_answers(logits, valid):
    teacher, t = draw(3), 4.0
    ours, theirs = (F.log_softmax(x.double() / t, 1) for x in (logits, teacher))
    kl = (theirs.exp() * (theirs - ours)).sum(1, keepdim=True)
    wanted = t**2 * (kl * valid).sum() / valid.sum()
    got = softened_kl(margins(logits), margins(teacher), t, valid)
    assert got.item() == pytest.approx(wanted.item(), abs=1e-5)


def test_consistency_is_the_mean_over_the_softmax(logits, valid):
    ours, theirs = logits.softmax(1), draw(3).softmax(1)
    error = (ours - theirs).square().mean(1, keepdim=True)
    wanted = (error * valid).sum() / valid.sum()
    got = consistency_loss(ours[:, 1:], theirs[:, 1:], valid)
    assert got.item() == pytest.approx(wanted.item(), abs=1e-6)


def test_entropy_of_an_even_answer_is_that_of_all_classes(logits, valid):
    even = torch.full((1, K, 1, 1, 1), 1 / (1 + K))
    assert entropy(even).item() == pytest.approx(math.log(1 + K), abs=1e-5)
    assert entropy_loss(even).item() == pytest.approx(1, abs=1e-5)
    p = logits.softmax(1)
    wanted = -(p * (p + 1e-6).log()).sum(1, keepdim=True)
    assert torch.allclose(entropy(p[:, 1:]), wanted, atol=1e-5)
    assert certainty_threshold(10, 10, classes=1 + K) == pytest.approx(math.log(1 + K))


def test_centrelines_are_compared_class_by_class(logits, target):
    p = vessel_probability(logits)
    alone = [cldice_loss(p[:, k : k + 1], target[:, k : k + 1], iterations=2) for k in range(K)]
    wanted = sum(alone).item() / K
    assert cldice_loss(p, target, iterations=2).item() == pytest.approx(wanted, abs=1e-6)


def test_hard_labels_of_several_classes_have_a_channel_each_and_no_gradient():
    logits = torch.tensor([[0.0, 3.0, 1.0], [2.0, 1.0, 1.0], [0.0, 1.0, 5.0]]).T.reshape(
        1, 3, 1, 1, 3
    )
    found = hard_labels(logits.requires_grad_())
    assert found.flatten(2).squeeze(0).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert not found.requires_grad
    assert torch.equal(found, decided(logits.softmax(1)[:, 1:]))
