"""Frozen teachers, running averages, and gradients that pass by."""

import copy

import pytest
import torch
from torch import nn

from vpbsd.networks.roles import Ema, Frozen, bypass


def linear(seed=0):
    torch.manual_seed(seed)
    return nn.Linear(3, 2)


class Pupil(nn.Module):
    def __init__(self):
        super().__init__()
        self.own = linear(1)
        self.teacher = Frozen(nn.Sequential(linear(), nn.Dropout(0.5)))


def test_frozen_is_no_part_of_parameters_or_state():
    pupil = Pupil()
    assert list(dict(pupil.named_parameters())) == ["own.weight", "own.bias"]
    assert list(pupil.state_dict()) == ["own.weight", "own.bias"]
    assert not list(pupil.buffers())
    Pupil().load_state_dict(pupil.state_dict(), strict=True)


def test_frozen_stays_in_eval_mode():
    pupil, x = Pupil(), torch.ones(1, 3)
    pupil.train()
    assert not any(module.training for module in pupil.teacher.inner.modules())
    assert torch.equal(pupil.teacher(x), pupil.teacher(x))


def test_frozen_gives_and_takes_no_gradient():
    pupil, x = Pupil(), torch.ones(1, 3, requires_grad=True)
    assert not pupil.teacher(x).requires_grad
    pupil.teacher.inner(x).sum().backward()  # without the wrapper the input has one
    assert (x.grad != 0).any()
    assert all(p.grad is None for p in pupil.teacher.inner.parameters())


def test_frozen_moves_with_its_owner():
    pupil = Pupil()
    pupil.to(torch.float64)
    assert pupil.teacher.inner[0].weight.dtype == torch.float64
    assert copy.deepcopy(pupil).teacher.inner[0].weight is not pupil.teacher.inner[0].weight


@pytest.mark.parametrize(
    ("step", "decay"), [(0, 0.0), (1, 0.5), (9, 0.9), (98, 98 / 99), (99, 0.99), (5000, 0.99)]
)
def test_ema_decay_by_hand(step, decay):
    assert Ema(linear(), 0.99).decay(step) == pytest.approx(decay, abs=1e-12)


def test_the_first_update_copies():
    source, mean = linear(1), Ema(linear(0))
    mean.update(source, 0)
    assert torch.equal(mean.inner.weight, source.weight)


def test_averages_of_a_constant_close_in_as_their_formula_says():
    source, mean = linear(1), Ema(linear(0), cap=0.9)
    gap = (mean.inner.weight - source.weight).detach()
    for step in range(100, 105):  # past the warm-up: the decay is the cap
        mean.update(source, step)
    assert torch.allclose(mean.inner.weight - source.weight, 0.9**5 * gap, atol=1e-6)


def test_warm_up_updates_average_evenly():
    mean, values = Ema(linear(), cap=0.99), [1.0, 5.0, 3.0]
    for step, value in enumerate(values):
        source = linear()
        nn.init.constant_(source.weight, value)
        mean.update(source, step)
    assert torch.allclose(mean.inner.weight, torch.tensor(3.0))


def test_an_average_is_state_without_gradient():
    source = linear()
    mean = Ema(source)
    assert set(mean.state_dict()) == {"inner.weight", "inner.bias"}
    assert not any(p.requires_grad for p in mean.parameters())
    assert not mean(torch.ones(1, 3, requires_grad=True)).requires_grad
    assert all(p.requires_grad for p in source.parameters())
    nn.init.zeros_(source.weight)
    assert (mean.inner.weight != 0).any()  # a copy, not the module itself


def test_buffers_are_copied():
    source = nn.BatchNorm1d(3)
    mean = Ema(source)
    source(torch.rand(8, 3))
    mean.update(source, 5)
    assert torch.equal(mean.inner.running_mean, source.running_mean)
    assert mean.inner.num_batches_tracked.item() == 1


def test_bypass_leads_the_gradient_past_the_weights():
    module, x = nn.Sequential(linear(), nn.Tanh()), torch.ones(1, 3, requires_grad=True)
    answer = bypass(module, x)
    assert torch.equal(answer, module(x))
    answer.sum().backward()
    assert (x.grad != 0).any()
    assert all(p.grad is None for p in module.parameters())
    module(x).sum().backward()  # and the module is as before
    assert all((p.grad != 0).any() for p in module.parameters())


def test_bypass_through_frozen():
    frozen, x = Frozen(linear()), torch.ones(1, 3, requires_grad=True)
    bypass(frozen.inner, x).sum().backward()
    assert torch.allclose(x.grad[0], frozen.inner.weight.sum(0))
