"""The loop on a method of one number, whose every step can be worked out by hand."""

import math

import pytest
import torch
from torch import nn

from vpbsd.config import LightNet
from vpbsd.data.patches import Pool
from vpbsd.methods.configs import SupervisedConfig
from vpbsd.methods.method import Clock, Method
from vpbsd.methods.roster import build_method
from vpbsd.optim import Optim
from vpbsd.safetensors_io import read_tensors, write_tensors
from vpbsd.training import checkpoint
from vpbsd.training.loop import Diverged, Training, fit

CPU = torch.device("cpu")
NOTHING = Pool(None, None, batch=1, seed=0, augment=False)
SGD = Optim(name="sgd", lr=0.1, final_ratio=0.01, epochs=2)


def draw(pool, step):
    return torch.tensor(float(step))


class Line(Method):
    """loss a = 3 x from the first step, loss b = 4 y from the second; y weighs a half."""

    draws = draw

    def __init__(self, late=1):
        super().__init__()
        self.x, self.y = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))
        self.fixed = nn.Parameter(torch.zeros(()), requires_grad=False)
        self.late, self.after, self.batches = late, [], []

    @property
    def deliverable(self):
        return self

    def losses(self, batch, clock):
        self.batches.append(float(batch))
        terms = {"a": 3 * self.x, "b": 4 * self.y}
        return terms if clock.step >= self.late else {"a": terms["a"]}

    def weights(self, clock):
        return {"a": 1.0, "b": 0.5} if clock.step >= self.late else {"a": 1.0}

    def after_step(self, clock):
        self.after.append((clock.step, float(self.x.detach())))

    def readings(self, clock):
        return {"reading": float(clock.step)}


def rows(method, optim, steps_per_epoch=2):
    training = Training(method, optim, steps_per_epoch)
    return training, [progress.row for progress in fit(training, NOTHING, CPU)]


def test_two_epochs_by_hand():
    """Gradients are 3 for x and 0.5 * 4 for y; the rate is 0.1, then 0.1 * 0.01^(1/2) = 0.01."""
    method = Line()
    training, (first, second) = rows(method, SGD)
    assert training.done
    assert method.batches == [0, 1, 2, 3]
    assert [step for step, _ in method.after] == [0, 1, 2, 3]
    assert [x for _, x in method.after] == pytest.approx([-0.3, -0.6, -0.63, -0.66])
    assert float(method.y.detach()) == pytest.approx(-0.2 - 0.02 - 0.02)
    assert float(method.fixed) == 0
    assert first == pytest.approx(
        {
            "epoch": 1.0,
            "step": 2.0,
            "loss/a": (0 + 3 * -0.3) / 2,
            "loss/b": 0.0,  # of its one step
            "grad_norm": (3 + math.hypot(3, 2)) / 2,
            "weight/a": 1.0,
            "weight/b": 0.5,
            "lr": 0.1,
            "reading": 1.0,
        }
    )
    assert second["loss/b"] == pytest.approx((4 * -0.2 + 4 * -0.22) / 2)
    assert second["lr"] == pytest.approx(0.01)


def test_a_term_that_starts_within_an_epoch_is_averaged_over_its_steps():
    _, (row,) = rows(Line(late=2), changed(SGD, epochs=1), steps_per_epoch=4)
    assert row["loss/b"] == pytest.approx(4 * (0 - 0.2) / 2)


def changed(optim, **changes):
    return optim.model_copy(update=changes)


def test_gradients_are_clipped_to_their_norm():
    method = Line(late=0)
    _, (row,) = rows(method, changed(SGD, clip=1.0, epochs=1), steps_per_epoch=1)
    norm = math.hypot(3, 2)
    assert row["grad_norm"] == pytest.approx(norm)  # before clipping
    assert float(method.x.detach()) == pytest.approx(-0.1 * 3 / norm, rel=1e-5)
    assert float(method.y.detach()) == pytest.approx(-0.1 * 2 / norm, rel=1e-5)


def test_weights_decay_as_told():
    """Of one plain step: x falls by 0.1 * (3 + 0.5 * 2) from where it starts, at 2."""
    method = Line(late=9)
    with torch.no_grad():
        method.x.fill_(2)
    rows(method, changed(SGD, weight_decay=0.5, epochs=1), steps_per_epoch=1)
    assert float(method.x.detach()) == pytest.approx(2 - 0.1 * 4)


def test_only_what_takes_a_gradient_is_given_to_the_optimiser():
    method = Line()
    groups = Training(method, SGD, 1).optimiser.param_groups
    assert {p for group in groups for p in group["params"]} == {method.x, method.y}


def test_the_longest_prefix_decides_a_rate_of_its_own():
    class Deep(Line):
        def __init__(self):
            super().__init__(late=0)
            self.part = nn.Module()
            self.part.one, self.part.two = (nn.Parameter(torch.zeros(())) for _ in range(2))

        def losses(self, batch, clock):
            return {"a": self.x + self.part.one, "b": 2 * (self.part.two + self.y)}

    method = Deep()
    optim = changed(SGD, lr_of={"part": 0.5, "part.two": 0.25})
    rows(method, optim, steps_per_epoch=1)
    steps = 1 + 0.1  # all rates fall by the same factor
    found = [float(p.detach()) for p in (method.x, method.y, method.part.one, method.part.two)]
    assert found == pytest.approx([-0.1 * steps, -0.1 * steps, -0.5 * steps, -0.25 * steps])


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_every_optimiser_resumes_to_the_bit(name, tmp_path, monkeypatch):
    monkeypatch.setattr("vpbsd.training.loop.MOST_SECONDS_BETWEEN_YIELDS", -1.0)
    optim = changed(SGD, name=name, weight_decay=0.1, lr_of={"y": 0.3}, epochs=3)
    whole, wanted = rows(Line(), optim)
    half, seen = Training(Line(), optim, 2), []
    for progress in fit(half, NOTHING, CPU):
        seen += [progress.row] if progress.row else []
        if half.step == 3:
            break
    checkpoint.save(tmp_path / "c", half, seen)
    again = Training(Line(), optim, 2)
    found = checkpoint.load(tmp_path / "c", again)
    found += [p.row for p in fit(again, NOTHING, CPU) if p.row]
    assert found == [row for row in wanted if row]
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.method.parameters(), again.method.parameters(), strict=True)
    )
    assert [p.name for p in tmp_path.iterdir()] == ["c"]  # nothing half-written stays


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    training = Training(Line(), SGD, 1)
    checkpoint.save(tmp_path / "c", training, [])
    other = Training(build_method(SupervisedConfig(network=LightNet()), 0), SGD, 1)
    with pytest.raises(RuntimeError, match="Missing key"):
        checkpoint.load(tmp_path / "c", other)


def test_tensors_that_share_memory_are_stored_apart(tmp_path):
    one = torch.arange(6.0)
    write_tensors(tmp_path / "t", {"a": one, "b": one, "c": one[2:4]}, {"note": "x"})
    tensors, metadata = read_tensors(tmp_path / "t")
    assert metadata == {"note": "x"}
    assert torch.equal(tensors["a"], one)
    assert torch.equal(tensors["b"], one)
    assert tensors["c"].tolist() == [2, 3]


class Odd(Line):
    def __init__(self, term):
        super().__init__(late=9)
        self.term = term

    def losses(self, batch, clock):
        return {"a": self.term(self.x) if clock.step == 2 else self.x}


@pytest.mark.parametrize(
    ("term", "says"),
    [
        (lambda x: x * math.nan, "loss 'a' is nan at step 2"),
        (lambda x: x + math.inf, "loss 'a' is inf at step 2"),
        (lambda x: (x - x).sqrt(), r"the gradient of \['a'\] is nan at step 2"),
    ],
)
def test_what_is_not_finite_stops_the_run_and_is_named(term, says):
    method = Odd(term)
    with pytest.raises(Diverged, match=says):
        rows(method, SGD)
    assert math.isfinite(float(method.x.detach()))  # the bad step was not taken


def test_losses_and_weights_of_other_names_stop_the_run():
    method = Line()
    method.weights = lambda clock: {"a": 1.0, "c": 1.0}
    with pytest.raises(ValueError, match=r"losses \['a'\] and weights \['a', 'c'\] differ"):
        rows(method, SGD)


def test_a_finished_training_does_nothing_more():
    training, _ = rows(Line(), SGD)
    assert list(fit(training, NOTHING, CPU)) == []
    assert training.clock == Clock(4, 2, 4)


@pytest.mark.parametrize("split", [1, 3])
def test_two_stages_that_share_a_schedule_are_one_with_a_fresh_optimiser(split):
    """Plain SGD keeps no state, so two phases of it are the unsplit run to the bit."""
    optim = changed(SGD, epochs=4)
    whole, wanted = rows(Line(), optim)
    method = Line()
    first, begun = rows(method, changed(optim, until_epoch=split))
    assert (first.done, first.step, first.clock.total_steps) == (True, 2 * split, 8)
    last, ended = rows(method, changed(optim, from_epoch=split))
    assert begun + ended == wanted
    assert method.batches == whole.method.batches
    assert torch.equal(method.x, whole.method.x)
    assert last.clock == whole.clock


def test_a_second_phase_starts_with_a_fresh_optimiser_on_the_old_curve():
    optim = changed(SGD, name="adam", epochs=4)
    _, wanted = rows(Line(), optim)
    method = Line()
    rows(method, changed(optim, until_epoch=2))
    second = Training(method, changed(optim, from_epoch=2), 2)
    assert second.optimiser.state_dict()["state"] == {}
    found = [progress.row for progress in fit(second, NOTHING, CPU)]
    assert [row["lr"] for row in found] == [row["lr"] for row in wanted[2:]]


def test_a_phase_tells_its_share_of_its_own_epochs(monkeypatch):
    monkeypatch.setattr("vpbsd.training.loop.MOST_SECONDS_BETWEEN_YIELDS", -1.0)
    training = Training(Line(), changed(SGD, epochs=9, from_epoch=3, until_epoch=5), 2)
    assert training.share == 0
    assert [training.share for _ in fit(training, NOTHING, CPU)] == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(("start", "stop"), [(2, None), (1, 1), (0, 3)])
def test_epochs_outside_the_schedule_are_refused(start, stop):
    with pytest.raises(ValueError, match="in a schedule of 2: choose from_epoch < until_epoch"):
        Optim(lr=0.1, epochs=2, from_epoch=start, until_epoch=stop)


def test_momentum_of_sgd_adds_up_what_it_did_before():
    """x falls by .1 * 3, then by .1 * (3 + .5 * 3)."""
    optim = Optim(name="sgd", lr=0.1, final_ratio=1, epochs=1, momentum=0.5)
    training, _ = rows(Line(late=9), optim)
    assert training.method.x.item() == pytest.approx(-0.3 - 0.45)


def test_the_rate_falls_in_plateaus():
    optim = Optim(name="sgd", lr=0.1, final_ratio=0.01, epochs=6, plateaus=3)
    _, found = rows(Line(), optim)
    assert [row["lr"] for row in found] == pytest.approx([0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3])
