"""DiCo: who teaches, and what deceives whom."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests import small
from tests.references import losses as reference
from tests.references import rivals
from tests.test_semi import Scaled, batch
from vpbsd.methods.method import Clock
from vpbsd.methods.rival_configs import Dico, DicoConfig
from vpbsd.methods.roster import build_method
from vpbsd.networks.discriminator import Discriminator, projection

CLOCK = Clock(3, 2, 8)
TRANSFORMER = small.NETWORK.model_copy(update={"codebook": None})


class Pixels(nn.Module):
    """Judges by the mean of the mask alone, times a weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, mask, image):
        self.image = image
        return self.weight * mask.mean((2, 3, 4))


def made(factors=(3.0, -2.0), **changes):
    """Networks whose margins are multiples of the intensity; labels are what is bright."""
    method = build_method(DicoConfig(transformer=TRANSFORMER, dico=Dico(**changes)), 5)
    method.student, method.transformer = (Scaled(factor) for factor in factors)
    if method.dico.adversarial:
        method.discriminator = Pixels()
    return method


def guesses(method, part):
    return [net(part.image).logits.detach() for net in (method.student, method.transformer)]


@pytest.mark.parametrize("factors", [(3.0, -2.0), (-2.0, 3.0)])
def test_the_better_one_on_labels_teaches_and_the_other_learns(factors):
    method, given = made(factors), batch()
    terms = method.losses(given, CLOCK)
    cnn, transformer = (x.double().numpy() for x in guesses(method, given.unlabelled))
    first_leads = terms["sup"] < terms["sup_transformer"]
    assert first_leads == (factors[0] > 0)
    teacher, learner = (cnn, transformer) if first_leads else (transformer, cnn)
    valid = given.unlabelled.valid.numpy()
    expected = reference.dice_ce(learner, rivals.hard_labels(teacher), valid)
    assert terms["pseudo"].item() == pytest.approx(expected, abs=1e-5)
    assert method.readings(CLOCK) == {"student_taught": float(first_leads)}
    terms["pseudo"].backward()
    moved = [net.factor.grad is not None for net in (method.student, method.transformer)]
    assert moved == [not first_leads, bool(first_leads)]


def test_networks_deceive_and_the_discriminator_tells_apart():
    method, given = made(), batch()
    terms = method.losses(given, CLOCK)
    unlabelled, labelled = given.unlabelled, given.labelled
    guessed = []
    for logits in guesses(method, unlabelled):
        mask = logits.softmax(1)[:, 1] * unlabelled.valid[:, 0]
        guessed.append(2 * mask.amax(1).mean((1, 2)))
    drawn = 2 * (labelled.label * labelled.valid)[:, 0].amax(1).mean((1, 2))
    told_true = [F.softplus(-x).mean().item() for x in guessed]
    told_false = [F.softplus(x).mean().item() for x in guessed]
    assert terms["adv"].item() == pytest.approx(sum(told_true), abs=1e-5)
    expected = sum(told_false) + F.softplus(-drawn).mean().item()
    assert terms["discriminator"].item() == pytest.approx(expected, abs=1e-5)


def test_gradients_of_the_game_stay_on_their_side():
    method, given = made(), batch()
    nets = [method.student.factor, method.transformer.factor]
    terms = method.losses(given, CLOCK)
    own = torch.autograd.grad(terms["adv"], nets, retain_graph=True)
    assert all(g.any() for g in own)
    judge = [method.discriminator.weight]
    for name, reached in (("adv", False), ("discriminator", True)):
        (found,) = torch.autograd.grad(terms[name], judge, retain_graph=True, allow_unused=True)
        assert (found is not None) == reached
    others = torch.autograd.grad(terms["discriminator"], nets, allow_unused=True)
    assert others == (None, None)


@pytest.mark.parametrize(
    ("changes", "gone"),
    [({"weight": 0}, {"pseudo"}), ({"adversarial": 0}, {"adv", "discriminator"})],
)
def test_a_term_without_weight_is_left_out(changes, gone):
    method = made(**changes)
    every = {"sup", "sup_transformer", "pseudo", "adv", "discriminator"}
    assert method.losses(batch(), CLOCK).keys() == method.weights(CLOCK).keys() == every - gone
    assert hasattr(method, "discriminator") == ("adversarial" not in changes)


def test_weights_and_rates():
    wanted = {"sup": 1, "sup_transformer": 1, "pseudo": 1, "adv": 0.2, "discriminator": 1}
    assert made().weights(CLOCK) == wanted
    assert DicoConfig().lr_of == {"transformer": 1e-3, "discriminator": 1e-4}


def test_a_discriminator_judges_projections():
    image = torch.rand(2, 1, 4, 32, 48)
    judge = Discriminator()
    judged = judge(projection(image), projection(image))
    assert judged.shape == (2, 1)
    assert not math.isclose(judged[0].item(), judged[1].item())
    assert torch.equal(projection(image)[1, 0, 0, 5, 7], image[1, 0, :, 5, 7].max())
