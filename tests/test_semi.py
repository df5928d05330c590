"""Mean Teacher, UA-MT and ME: noise, what the average is asked, masks, weights over the run."""

import math

import pytest
import torch
from torch import nn

from tests.references import losses as reference
from vpbsd.data.patches import Labelled, Semi, TeacherTargets, Unlabelled
from vpbsd.methods.configs import EntropyConfig, MeanTeacherConfig, UncertainTeacherConfig
from vpbsd.methods.method import Clock
from vpbsd.methods.roster import build_method
from vpbsd.methods.semi import perturbed
from vpbsd.networks.output import SegOutput
from vpbsd.random_streams import generator

SHAPE = (2, 1, 4, 4, 4)
CONFIGS = {"mt": MeanTeacherConfig(), "uamt": UncertainTeacherConfig(), "me": EntropyConfig()}
TERM = {"mt": "cons", "uamt": "cons", "me": "entropy"}


class Scaled(nn.Module):
    """Vessel's margin is a multiple of the intensity; remembers what it was asked."""

    def __init__(self, factor):
        super().__init__()
        self.factor, self.asked = nn.Parameter(torch.tensor(factor)), []

    def forward(self, x):
        self.asked.append((x, torch.is_grad_enabled()))
        margin = self.factor * x
        return SegOutput(torch.cat([torch.zeros_like(margin), margin], 1), ())


def batch():
    draw = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    valid = torch.ones(SHAPE)
    valid[:, :, -1] = 0
    labelled = Labelled(draw[0], (draw[0] > 0.5).float(), valid, TeacherTargets())
    return Semi(labelled, Unlabelled(draw[1], valid, TeacherTargets()))


def method_of(name, factor=3.0, averaged=2.0, **changes):
    method = build_method(CONFIGS[name].model_copy(update=changes), 5)
    method.student = Scaled(factor)
    if name != "me":
        method.mean.inner = Scaled(averaged).requires_grad_(False)
    return method


@pytest.mark.parametrize("name", CONFIGS)
def test_the_weight_rises_over_the_whole_run(name):
    method = method_of(name)
    for step, expected in ((0, 0.0067379), (50, 0.2865048), (100, 1)):
        weights = method.weights(Clock(step, 10, 100))
        assert weights == pytest.approx({"sup": 1.0, TERM[name]: 0.1 * expected}, abs=1e-7)
    short = method_of(name, ramp_share=0.5).weights(Clock(50, 10, 100))
    assert short[TERM[name]] == 0.1


@pytest.mark.parametrize("name", CONFIGS)
def test_labelled_and_unlabelled_patches_go_through_the_student_in_two_calls(name):
    method, given = method_of(name), batch()
    method.losses(given, Clock(3, 2, 4))
    asked = [x for x, _ in method.student.asked]
    assert [x.shape for x in asked] == [SHAPE, SHAPE]
    assert torch.equal(asked[0], given.labelled.image)
    assert torch.equal(asked[1], given.unlabelled.image)  # plain: noise is for the average


@pytest.mark.parametrize("name", CONFIGS)
def test_without_weight_unlabelled_patches_are_not_looked_at(name):
    method = method_of(name, weight=0.0)
    assert method.losses(Semi(batch().labelled, None), Clock(0, 2, 4)).keys() == {"sup"}
    assert method.weights(Clock(0, 2, 4)) == {"sup": 1.0}
    assert len(method.student.asked) == 1


def test_noise_is_of_the_patch_clipped_and_drawn_from_its_own_stream():
    image = torch.cat([torch.rand(1, 1, 16, 16, 16), 5 * torch.rand(1, 1, 16, 16, 16)])
    one, again, other = (perturbed(image, 0.1, generator(0, "noise", s)) for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    for found, patch in zip(one - image, image, strict=True):
        scaled = found / (0.1 * patch.std())
        assert scaled.abs().max() == pytest.approx(2, abs=1e-3)
        assert scaled.std().item() == pytest.approx(0.96, abs=0.03)
    copies = perturbed(image, 0.1, generator(0, "noise", 1), copies=3)
    assert copies.shape == (6, 1, 16, 16, 16)
    assert (copies[0::2] - image[0]).abs().max() < (copies[1::2] - image[1]).abs().max() / 3
    assert not torch.equal(copies[0], copies[2])
    assert torch.equal(
        perturbed(torch.ones(1, 1, 2, 2, 2), 0.1, generator(0, "n")).unique(), torch.ones(1)
    )


@pytest.mark.parametrize("name", ["mt", "uamt"])
def test_equal_networks_without_noise_agree(name):
    method = method_of(name, averaged=3.0, noise=0.0)
    assert method.losses(batch(), Clock(4, 2, 4))["cons"].item() == 0


def test_mean_teacher_compares_with_one_noisy_answer():
    method, given = method_of("mt"), batch()
    terms = method.losses(given, Clock(7, 2, 8))
    ((noisy, graded),) = method.mean.inner.asked
    assert not graded
    expected = perturbed(given.unlabelled.image, 0.1, generator(5, "noise", 7))
    assert torch.equal(noisy, expected)
    p, q = (
        (factor * x).sigmoid().double().detach().numpy()
        for factor, x in ((3.0, given.unlabelled.image), (2.0, noisy))
    )
    valid = given.unlabelled.valid.numpy()
    wanted = reference.masked_consistency(p, q, valid)
    assert terms["cons"].item() == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("step", [0, 2, 4])
def test_ua_mt_listens_where_eight_noisy_answers_are_certain(step):
    method, given, clock = method_of("uamt", averaged=2.5), batch(), Clock(step, 2, 4)
    terms = method.losses(given, clock)
    (further, graded), (passes, also) = method.mean.inner.asked  # eight passes in one call
    assert [graded, also] == [False, False]
    assert (further.shape[0], passes.shape[0]) == (2, 16)
    answers = (2.5 * passes).sigmoid().double().numpy().reshape(8, *SHAPE)
    threshold = reference.certainty_threshold(step, 4, 0.75)
    mask = reference.uncertainty_mask(answers, threshold) * given.unlabelled.valid.numpy()
    p, q = (
        (f * x).sigmoid().double().detach().numpy()
        for f, x in ((3.0, given.unlabelled.image), (2.5, further))
    )
    wanted = reference.masked_consistency(p, q, mask)
    assert terms["cons"].item() == pytest.approx(wanted, abs=1e-6)
    share = mask.sum() / given.unlabelled.valid.sum().item()
    assert 0.2 < share < 0.9 or (step == 4 and share == 1)
    read = method.readings(clock)
    assert read == pytest.approx({"threshold": threshold, "certain_share": share}, abs=1e-6)


def test_an_average_that_is_certain_of_nothing_teaches_nothing():
    terms = method_of("uamt", averaged=0.0).losses(batch(), Clock(0, 2, 4))
    assert terms["cons"].item() == 0


def test_entropy_minimisation_is_over_valid_unlabelled_voxels():
    given = batch()
    found = method_of("me").losses(given, Clock(0, 2, 4))["entropy"].item()
    p = (3.0 * given.unlabelled.image).sigmoid().double().numpy()
    expected = reference.entropy_loss(p, given.unlabelled.valid.numpy())
    assert found == pytest.approx(expected, abs=1e-6)


def test_the_first_update_copies_and_the_hundredth_has_reached_the_cap():
    mean = build_method(CONFIGS["mt"], 0).mean
    expected = {0: 0, 1: 0.5, 9: 0.9, 98: 0.9898990, 99: 0.99, 500: 0.99}
    assert {t: mean.decay(t) for t in expected} == pytest.approx(expected, abs=1e-7)
    assert math.isclose(build_method(MeanTeacherConfig(decay=0.999), 0).mean.decay(10_000), 0.999)
