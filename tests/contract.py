"""What every method must keep, as checks that fail with a sentence; see test_every_method.py."""

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch

from vpbsd.data.patches import Pool
from vpbsd.methods.method import Clock
from vpbsd.networks.roles import Ema, Frozen
from vpbsd.optim import Optim
from vpbsd.training import checkpoint
from vpbsd.training.loop import Training, fit

CPU = torch.device("cpu")


class Case(NamedTuple):
    """A method, what it draws from, and what is known of it.

    `frozen` are prefixes of the parameters that nothing may change; `clocks` are moments at which
    all of its terms and phases occur at least once.
    """

    build: Callable
    pool: Pool
    optim: Optim
    frozen: tuple = ()
    clocks: tuple = (Clock(0, 2, 4), Clock(3, 2, 4))

    def training(self):
        return Training(self.build(), self.optim, steps_per_epoch=2)


class Look(NamedTuple):
    """One pass at one clock: terms, weights, the gradient of each term, leaves behind it."""

    clock: Clock
    weights: dict
    terms: dict
    gradients: dict
    leaves: dict


def look(case, method):
    """Passes through a method at each clock of its case, with a backward pass for each term."""
    return [_look(case, method.train(), clock) for clock in case.clocks]


def _look(case, method, clock):
    batch = type(method).draws(case.pool, clock.step)
    terms = method.losses(batch, clock)
    trained = {name: p for name, p in method.named_parameters() if p.requires_grad}
    gradients, leaves = {}, {}
    for name, term in terms.items():
        leaves[name] = _leaves(term)
        gradients[name] = _gradients(term, trained)
    plain = {name: term.detach() for name, term in terms.items()}
    return Look(clock, method.weights(clock), plain, gradients, leaves)


def _gradients(term, trained):
    if term.grad_fn is None:
        return {}
    found = torch.autograd.grad(term, [*trained.values()], retain_graph=True, allow_unused=True)
    return {n: g for n, g in zip(trained, found, strict=True) if g is not None and g.any()}


def _leaves(term):
    """Tensors that take a gradient and that this term was computed from."""
    found, seen, waiting = [], set(), [term.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        waiting.extend(before for before, _ in node.next_functions)
    return found


def losses_and_weights_share_names(looks):
    for one in looks:
        assert one.terms.keys() == one.weights.keys(), (
            f"losses {sorted(one.terms)} and weights {sorted(one.weights)} differ in name"
        )
        for name, term in one.terms.items():
            assert term.shape == (), f"loss '{name}' is no scalar"
            assert torch.isfinite(term), f"loss '{name}' is {term}"


def each_loss_alone_moves_a_trained_parameter(looks):
    for one in looks:
        for name, gradients in one.gradients.items():
            assert gradients, f"loss '{name}' moves nothing at step {one.clock.step}"


def no_trained_parameter_is_dead(method, looks):
    moved = {name for one in looks for found in one.gradients.values() for name in found}
    trained = {name for name, p in method.named_parameters() if p.requires_grad}
    assert trained, "nothing is trained"
    assert trained <= moved, f"no loss ever moves {sorted(trained - moved)}"


def no_parameter_hides(method, looks):
    """All that takes a gradient is registered, or optimiser and checkpoint would miss it."""
    known = {id(p) for p in method.parameters()}
    for one in looks:
        for name, leaves in one.leaves.items():
            hidden = [tuple(leaf.shape) for leaf in leaves if id(leaf) not in known]
            assert not hidden, f"loss '{name}' uses unregistered parameters of shapes {hidden}"


def frozen_parts_stay(case, steps=1):
    """Frozen parameters and whole `Frozen` networks keep every bit, and the latter eval mode."""
    training = case.training()
    before = _frozen(case, training.method)
    assert set(case.frozen) <= {name for name, _ in before}, "no such frozen part"
    before = copy.deepcopy(before)
    for _ in _steps(training, case.pool, steps):
        pass
    for (name, old), (_, new) in zip(before, _frozen(case, training.method), strict=True):
        for key, value in old.items():
            assert torch.equal(value, new[key]), f"frozen part '{name}' changed: {key}"
    for module in training.method.modules():
        if isinstance(module, Frozen):
            assert not any(m.training for m in module.inner.modules()), "frozen part is training"


def _frozen(case, method):
    parts = [(p, method.get_submodule(p).state_dict()) for p in case.frozen]
    hidden = [(n, m.inner.state_dict()) for n, m in method.named_modules() if type(m) is Frozen]
    return parts + hidden


def averages_move_as_their_formula_says(case, monkeypatch, steps=3):
    """theta <- a theta + (1 - a) theta_student after each step, a = min(1 - 1/(t + 1), cap)."""
    monkeypatch.setattr("vpbsd.training.loop.MOST_SECONDS_BETWEEN_YIELDS", -1.0)
    training = case.training()
    averages = [m for m in training.method.modules() if isinstance(m, Ema)]
    assert averages, "no average"
    sources = [_followed(training.method, averages, mean) for mean in averages]
    expected = [{n: p.double() for n, p in m.inner.named_parameters()} for m in averages]
    for t, _ in enumerate(_steps(training, case.pool, steps)):
        for mean, before, source in zip(averages, expected, sources, strict=True):
            a = min(1 - 1 / (t + 1), mean.cap)
            for name, weight in source.named_parameters():
                before[name] = a * before[name] + (1 - a) * weight.detach().double()
                found = dict(mean.inner.named_parameters())[name].double()
                assert torch.allclose(found, before[name], atol=1e-6), (
                    f"average of '{name}' is wrong after step {t}"
                )


def _followed(method, averages, mean):
    """The one part of a method whose parameters have the names of an average's."""
    names = dict(mean.inner.named_parameters()).keys()
    within = {id(module) for one in averages for module in one.modules()}
    others = [m for m in method.modules() if id(m) not in within]
    (source,) = [m for m in others if dict(m.named_parameters()).keys() == names]
    return source


def saved_state_is_all_the_state(case, home, monkeypatch, stops):
    """All steps in one go, and all steps with a stop, save, load and a fresh method between."""
    monkeypatch.setattr("vpbsd.training.loop.MOST_SECONDS_BETWEEN_YIELDS", -1.0)
    training, rows = case.training(), []
    for row in _steps(training, case.pool, training.clock.total_steps):
        rows += [row] if row else []
        if training.step in stops:
            checkpoint.save(home / f"{training.step}", training, rows)
    for stop in stops:
        again = case.training()
        rows_again = checkpoint.load(home / f"{stop}", again)
        assert again.step == stop
        rows_again += [row for row in _steps(again, case.pool, 1000) if row]
        assert rows_again == rows, f"rows differ after a stop at step {stop}"
        _same(training.method.state_dict(), again.method.state_dict(), stop)
        _same(_flat(training.optimiser), _flat(again.optimiser), stop)
    return rows


def _steps(training, pool, count):
    for progress in fit(training, pool, CPU):
        yield progress.row
        if training.step >= count:
            return


def _flat(optimiser):
    state = optimiser.state_dict()["state"]
    return {f"optimiser {n} {k}": v for n, of in state.items() for k, v in of.items()}


def _same(one, other, stop):
    assert one.keys() == other.keys(), f"state differs in name after a stop at step {stop}"
    for name, value in one.items():
        assert torch.equal(value, other[name]), f"{name} differs after a stop at step {stop}"
