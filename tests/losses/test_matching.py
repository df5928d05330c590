"""S2DC's losses: loops over the formulas, worked values, marginals and where gradients stop."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from tests.references import pretraining as reference
from vpbsd.losses import matching
from vpbsd.losses.contrast import similarities
from vpbsd.losses.matching import (
    coded_losses,
    dual_softmax,
    match_readings,
    printed_losses,
    queue_contrast,
    sharpe,
    sinkhorn,
    structure_weights,
)


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosines(seed, n=5, m=6):
    a, b = (normalize(draw(seed + k, size, 3), dim=1) for k, size in enumerate((n, m)))
    return a @ b.mT


TRUTH = torch.zeros(5, 6, dtype=torch.bool)
TRUTH[0, 2] = TRUTH[1, 0] = TRUTH[4, 5] = True


@given(seed=st.integers(0, 10_000))
@settings(max_examples=8, deadline=None)
def test_equal_their_reference(seed):
    cosine = cosines(seed)
    match = dual_softmax(cosine / 0.1)
    assert np.allclose(match.exp().numpy(), reference.dual_softmax(cosine.numpy() / 0.1))
    arrays = cosine.numpy(), match.exp().numpy(), TRUTH.numpy()
    assert [x.item() for x in printed_losses(cosine, match, TRUTH)] == pytest.approx(
        reference.printed(*arrays)
    )
    soft = dual_softmax(cosine)  # no confidence near 0 or 1, where the code clamps
    arrays = cosine.numpy(), soft.exp().numpy(), TRUTH.numpy()
    assert [x.item() for x in coded_losses(cosine, soft, TRUTH)] == pytest.approx(
        reference.coded(*arrays), rel=1e-5
    )
    ratios = [reference.sharpe(row) for row in cosine.numpy()]
    assert sharpe(cosine).tolist() == pytest.approx(ratios)
    plan = reference.transport(cosine.numpy(), 1.0, 100)
    assert np.allclose(sinkhorn(cosine).exp().numpy(), plan)
    query, positive, negatives = draw(seed, 3, 4), draw(seed + 1, 3, 4), draw(seed + 2, 5, 4)
    allowed = draw(seed + 3, 3, 5) > 0
    keys = query, positive, negatives, allowed
    expected = reference.queue_contrast(*(x.numpy() for x in keys), 0.7)
    found = queue_contrast(query, positive, negatives, allowed, 0.7)
    assert found.tolist() == pytest.approx(expected.tolist(), abs=1e-5)


def test_worked_values():
    """2 ln N where nothing is known, 0 where all is, 1.333 at the best of eight cosines."""
    eye = torch.eye(8, dtype=torch.bool)
    zeros = torch.zeros(8, 8)
    assert printed_losses(zeros, dual_softmax(zeros), eye)[0].item() == pytest.approx(4.1588831)
    large = 100 * torch.eye(8)
    assert printed_losses(zeros, dual_softmax(large), eye)[0].item() == pytest.approx(0, abs=1e-6)
    best = 2 * torch.eye(8) - 1
    assert printed_losses(best, dual_softmax(best), eye)[0].item() == pytest.approx(1.3329358)


def test_sharpe_ratios():
    one = torch.zeros(1, 8)
    one[0, 3] = 1
    assert sharpe(one).item() == pytest.approx(2.6457513) == pytest.approx(math.sqrt(7))
    row = draw(0, 1, 8)
    assert sharpe(3.5 * row - 2).item() == pytest.approx(sharpe(row).item())
    assert sharpe(torch.ones(1, 8)).item() == 0, "no peak, and no division by nothing"


def test_weights_of_tokens_sum_to_one():
    """Half of the softmax over rows and half of that over columns, laid out over all pairs."""
    weights = structure_weights(cosines(1))
    rows, columns = weights - weights[:1], weights - weights[:, :1]
    assert torch.allclose(rows, rows[:, :1].expand_as(rows)), "a row adds the same to every column"
    assert torch.allclose(columns, columns[:1].expand_as(columns))
    assert weights.mean().item() == pytest.approx((1 / 5 + 1 / 6) / 2)  # both softmaxes sum to 1


def test_no_gradient_reaches_the_weights():
    cosine = cosines(2).requires_grad_()
    _, p2s = printed_losses(cosine, torch.zeros(5, 6), TRUTH)
    assert not p2s.requires_grad


@pytest.mark.parametrize("matcher", [dual_softmax, sinkhorn])
def test_permuting_a_view_permutes_the_matching(matcher):
    scores, order = cosines(3) * 4, torch.randperm(6, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(matcher(scores[:, order]), matcher(scores)[:, order])


def test_transport_has_its_marginals(monkeypatch):
    """Each token has mass 1: all of it on the others where the dustbin is barred, else less."""
    scores = 3 * draw(4, 5, 5)
    with monkeypatch.context() as barring:
        barring.setattr(matching, "ITERATIONS", 500)
        barring.setattr(matching, "DUSTBIN", -200.0)
        barred = sinkhorn(scores).exp()
    assert barred.sum(0).tolist() == pytest.approx([1] * 5, abs=0.01)
    assert barred.sum(1).tolist() == pytest.approx([1] * 5, abs=0.01)
    plan = sinkhorn(scores[:, :4]).exp()
    assert (plan.sum(0) < 1).all()
    assert (plan.sum(1) < 1).all()
    lonely = sinkhorn(torch.full((3, 3), -50.0)).exp()
    assert lonely.max() < 1e-6, "what is like nothing goes to the dustbin"
    sure = sinkhorn(100 * torch.eye(6)).exp()
    assert torch.allclose(sure, torch.eye(6), atol=0.01), "as near as 100 iterations come"


def test_a_printed_tau_outside_the_exponential_is_a_misprint():
    """All keys alike: ln (1 + K), whatever the temperature."""
    one = torch.ones(2, 3)
    for tau in (0.07, 0.9):
        loss = queue_contrast(one, one, torch.ones(4, 3), torch.ones(2, 4, dtype=torch.bool), tau)
        assert loss.tolist() == pytest.approx([math.log(5)] * 2, rel=1e-5)


def test_keys_that_are_not_allowed_count_for_nothing():
    query, positive, negatives = draw(0, 2, 3), draw(1, 2, 3), draw(2, 4, 3)
    allowed = torch.tensor([[True, False, True, True], [False, False, False, False]])
    other = negatives.clone()
    other[1] = 9 * draw(3, 3)
    plain = queue_contrast(query, positive, negatives, allowed, 0.5)
    assert torch.equal(plain, queue_contrast(query, positive, other, allowed, 0.5))
    assert plain[1].item() == pytest.approx(0)


def test_readings_by_hand():
    cosine = torch.tensor([[0.9, 0.1, 0.0], [0.5, 0.4, 0.0], [0.0, 0.0, 0.7]])
    truth = torch.zeros(3, 3, dtype=torch.bool)
    truth[0, 0] = truth[1, 1] = True  # the second is nearer to another
    found = match_readings(cosine, truth)
    assert found["matched"] == pytest.approx(2 / 3)
    assert found["match_accuracy"] == pytest.approx(1 / 2)
    assert found["sharpe"] == pytest.approx(np.mean([reference.sharpe(r) for r in cosine.numpy()]))


def test_half_precision_is_kept_out_of_the_queue():
    """Keys of any length, as the code has them: their products are large."""
    query, positive, negatives = (5 * draw(seed, n, 8).float() for seed, n in enumerate((3, 3, 6)))
    given = query, positive, negatives, torch.ones(3, 6, dtype=torch.bool), 0.07
    with torch.autocast("cpu", torch.bfloat16):
        half = queue_contrast(*given)
    assert torch.equal(half, queue_contrast(*given))


@pytest.mark.parametrize("losses", [printed_losses, coded_losses])
@pytest.mark.parametrize("matcher", [dual_softmax, sinkhorn])
def test_half_precision_changes_no_matching(losses, matcher):
    tokens = draw(7, 5, 3).float(), draw(8, 6, 3).float()

    def found():
        cosine = similarities(*tokens)
        return losses(cosine, matcher(cosine / 0.1), TRUTH)

    with torch.autocast("cpu", torch.bfloat16):
        half = found()
    assert torch.equal(torch.stack(half), torch.stack(found()))
