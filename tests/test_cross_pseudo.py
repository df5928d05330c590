"""Two students of one network: what each learns from the other, and which one is deployed."""

import math

import pytest
import torch

from tests.references import losses as reference
from tests.references import rivals
from tests.test_semi import Scaled, batch
from vpbsd.methods.cross_pseudo import cross_entropies
from vpbsd.methods.method import Clock
from vpbsd.methods.rival_configs import Cps, CpsConfig
from vpbsd.methods.roster import build_method


def pair(**changes):
    """Students whose margins are 3 and -2 times the intensity."""
    method = build_method(CpsConfig(**changes), 5)
    method.student, method.other = Scaled(3.0), Scaled(-2.0)
    return method


def test_the_students_begin_apart_and_the_arms_own_is_delivered():
    method = build_method(CpsConfig(), 5)
    assert method.deliverable is method.student
    for one, other in zip(method.student.parameters(), method.other.parameters(), strict=True):
        assert one.shape == other.shape
    first, second = method.student.head.weight, method.other.head.weight
    assert not torch.equal(first, second)


def test_each_learns_the_others_labels_on_all_patches():
    method, given = pair(), batch()
    terms = method.losses(given, Clock(0, 2, 4))
    expected = 0.0
    for part in given:
        a, b = (net(part.image).logits.detach().double().numpy() for net in students(method))
        expected += rivals.cross_entropies(a, b, part.valid.numpy())
    assert terms["cps"].item() == pytest.approx(expected, abs=1e-5)
    label, valid = given.labelled.label.numpy(), given.labelled.valid.numpy()
    for name, net in zip(("sup", "sup_other"), students(method), strict=True):
        logits = net(given.labelled.image).logits.detach().double().numpy()
        assert terms[name].item() == pytest.approx(
            reference.dice_ce(logits, label, valid), abs=1e-5
        )


def test_the_weight_rises_over_its_share_of_the_run():
    method = pair(cps=Cps(weight=0.2, ramp_share=0.5))
    for step, expected in ((0, 0.0067379), (25, 0.2865048), (50, 1), (100, 1)):
        weights = method.weights(Clock(step, 10, 100))
        assert weights == pytest.approx(
            {"sup": 1, "sup_other": 1, "cps": 0.2 * expected}, abs=1e-7
        )


def students(method):
    return method.student, method.other


def test_two_networks_by_hand():
    """One is even, so background; the other is sure of vessel, three to one."""
    even = torch.zeros(1, 2, 1, 1, 1)
    sure = torch.tensor([0.0, math.log(3)]).view(1, 2, 1, 1, 1)
    found = cross_entropies(even, sure).item()
    assert found == pytest.approx(math.log(2) + math.log(4), abs=1e-6)


def test_labels_of_oneself_give_twice_the_own_cross_entropy_and_padding_nothing():
    stream = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 2, 3, 4, 2, generator=stream)
    valid = (torch.rand(2, 1, 3, 4, 2, generator=stream) > 0.3).float()
    labels = rivals.hard_labels(logits.numpy())
    own = reference.cross_entropy(logits.double().numpy(), labels, valid.numpy())
    assert cross_entropies(logits, logits, valid).item() == pytest.approx(2 * own, abs=1e-5)
