"""The contract is sharp: each defect that methods are known to have is reported, and by name."""

import pytest
import torch
from torch import nn

from tests import contract, small
from vpbsd.config import LightNet
from vpbsd.data.folds import whole_volume
from vpbsd.data.patches import draw_labelled
from vpbsd.losses.segmentation import dice_loss, vessel_probability
from vpbsd.methods.method import Clock, Method
from vpbsd.networks.build import build_network
from vpbsd.networks.roles import Ema, Frozen, bypass
from vpbsd.optim import Optim
from vpbsd.random_streams import initialising

CLOCKS = (Clock(0, 2, 4), Clock(3, 2, 4))


class Sound(Method):
    """A student, a lift to a frozen teacher's feature, and a running scale of their distance."""

    draws = draw_labelled

    def __init__(self):
        super().__init__()
        self.student = build_network(LightNet(widths=(4, 4, 4, 4)), 0)
        self.teacher = Frozen(build_network(LightNet(widths=(4, 4, 4, 8)), 1))
        with initialising(0, "lift"):
            self.lift = self.make_lift()
        self.fixed = nn.Linear(2, 2).requires_grad_(False)
        self.keep_scale(torch.ones(()))

    def make_lift(self):
        return nn.Conv3d(4, 8, 1)

    def keep_scale(self, scale):
        self.register_buffer("scale", scale)

    @property
    def deliverable(self):
        return self.student

    def losses(self, batch, clock):
        answer = self.student(batch.image)
        distance = self.distance(self.lift(answer.stages[-1]), batch)
        self.scale = 0.5 * self.scale + 0.5 * distance.detach()
        sup = dice_loss(vessel_probability(answer.logits), batch.label, batch.valid)
        return {"sup": sup, "dis": distance / self.scale}

    def distance(self, lifted, batch):
        return (lifted - self.teacher(batch.image).stages[-1]).abs().mean()

    def weights(self, clock):
        return {"sup": 1.0, "dis": 1.0}


class RenamedLoss(Sound):
    def losses(self, batch, clock):
        terms = super().losses(batch, clock)
        return {"sup": terms["sup"], "mid": terms["dis"]}


class LostWeight(Sound):
    """Its second weight goes away late in training, its loss does not."""

    def weights(self, clock):
        return {"sup": 1.0, "dis": 1.0} if clock.step < 3 else {"sup": 1.0}


class DetachedTerm(Sound):
    def distance(self, lifted, batch):
        return super().distance(lifted.detach(), batch)


class DeadHelper(Sound):
    """The lift is made and never used by any loss."""

    def distance(self, lifted, batch):
        return self.student(batch.image).stages[-1].abs().mean()


class LiftThroughFrozen(Sound):
    """The lift is called where no gradient flows, as in `Frozen`."""

    def make_lift(self):
        lift = super().make_lift()
        self.call = lambda x: bypass(lift, x)
        return lift

    def distance(self, lifted, batch):
        return super().distance(self.call(self.student(batch.image).stages[-1]), batch)


class PlainList(Sound):
    """The lift is kept where neither optimiser nor checkpoint finds it."""

    def make_lift(self):
        self.parts = [super().make_lift()]
        return self.parts[0].__call__


class StateOutsideBuffers(Sound):
    def keep_scale(self, scale):
        self.scale = scale


class StateNotSaved(Sound):
    def keep_scale(self, scale):
        self.register_buffer("scale", scale, persistent=False)


class FrozenPartTrained(Sound):
    """A part that should stay as it is takes part in the loss and in the optimiser."""

    def __init__(self):
        super().__init__()
        self.fixed.requires_grad_(True)

    def distance(self, lifted, batch):
        return super().distance(lifted, batch) + self.fixed(torch.ones(2)).square().sum()


class FrozenNetworkMoves(Sound):
    """Its running average is written into the frozen teacher."""

    @torch.no_grad()
    def after_step(self, clock):
        for weight in self.teacher.inner.parameters():
            weight.mul_(0.99)


class FrozenNetworkInTrainMode(Sound):
    def after_step(self, clock):
        self.teacher.inner.train()


class Averaged(Sound):
    """Its student is compared with the average of itself."""

    def __init__(self):
        super().__init__()
        self.mean = Ema(self.student)

    def after_step(self, clock):
        self.mean.update(self.student, clock.step)


class AverageForgotten(Averaged):
    def after_step(self, clock):
        pass


class AverageOutOfStep(Averaged):
    """Counts from 1, so that its first step averages where it should copy."""

    def after_step(self, clock):
        self.mean.update(self.student, clock.step + 1)


class AverageTrained(Averaged):
    def __init__(self):
        super().__init__()
        self.mean.inner.requires_grad_(True)


@pytest.fixture(scope="module")
def pool(volumes):
    thin = next(v for v in volumes if v.name == "v1")
    return small.Kept((whole_volume(thin),), ()).pool(unlabelled=False, batch=1)


def report(case, home, monkeypatch):
    """The first sentence that each check has to say of a method; checks it keeps are left out."""
    method = case.build()
    looks = contract.look(case, method)
    checks = {
        "names": lambda: contract.losses_and_weights_share_names(looks),
        "moves": lambda: contract.each_loss_alone_moves_a_trained_parameter(looks),
        "dead": lambda: contract.no_trained_parameter_is_dead(method, looks),
        "hides": lambda: contract.no_parameter_hides(method, looks),
        "frozen": lambda: contract.frozen_parts_stay(case),
        "state": lambda: contract.saved_state_is_all_the_state(case, home, monkeypatch, (1, 3)),
    }
    if isinstance(method, Averaged):
        checks["average"] = lambda: contract.averages_move_as_their_formula_says(case, monkeypatch)
    said = {}
    for name, check in checks.items():
        try:
            check()
        except (AssertionError, ValueError) as problem:
            said[name] = str(problem).splitlines()[0]
    return said


NAMES = "losses ['mid', 'sup'] and weights ['dis', 'sup'] differ in name"
LOST = "losses ['dis', 'sup'] and weights ['sup'] differ in name"
DEAD = "no loss ever moves ['lift.bias', 'lift.weight']"
STATE = "rows differ after a stop at step 1"
AVERAGE = "average of 'encoder.0.0.weight' is wrong after step 0"


@pytest.mark.parametrize(
    ("method", "reported"),
    [
        (Sound, {}),
        (RenamedLoss, {"names": NAMES, "frozen": NAMES, "state": NAMES}),
        (LostWeight, {"names": LOST, "state": LOST}),
        (DetachedTerm, {"moves": "loss 'dis' moves nothing at step 0", "dead": DEAD}),
        (DeadHelper, {"dead": DEAD}),
        (LiftThroughFrozen, {"dead": DEAD}),
        (PlainList, {"hides": "loss 'dis' uses unregistered parameters of shapes"}),
        (StateOutsideBuffers, {"state": STATE}),
        (StateNotSaved, {"state": STATE}),
        (FrozenPartTrained, {"frozen": "frozen part 'fixed' changed: weight"}),
        (FrozenNetworkMoves, {"frozen": "frozen part 'teacher' changed", "state": STATE}),
        (FrozenNetworkInTrainMode, {"frozen": "frozen part is training"}),
        (Averaged, {}),
        (AverageForgotten, {"average": AVERAGE}),
        (AverageOutOfStep, {"average": AVERAGE}),
        (AverageTrained, {"dead": "no loss ever moves ['mean.inner.decoder.0.0.weight'"}),
    ],
)
def test_each_defect_is_reported_and_a_sound_method_is_not(
    method, reported, pool, tmp_path, monkeypatch
):
    case = contract.Case(method, pool, Optim(lr=1e-2, epochs=2), ("fixed",), CLOCKS)
    said = report(case, tmp_path, monkeypatch)
    assert said.keys() == reported.keys(), said
    for check, sentence in reported.items():
        assert said[check].startswith(sentence)
