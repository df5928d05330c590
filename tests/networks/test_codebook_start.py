"""Where codes and kappa start, and what is refused."""

import pytest
import torch

from tests.networks.codebooks import D, N, book, draw, noise
from tests.references import losses as reference
from vpbsd.errors import BadInput
from vpbsd.networks.codebook import Codebook


def clusters(size=4, each=30):
    """Tokens around `size` far points of the plane, and those points."""
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])[:size]
    return centres.repeat_interleave(each, 0) + 0.1 * draw(0, size * each, 2), centres


def test_the_codebook_starts_at_the_centres_of_clusters():
    tokens, _ = clusters()
    codes = book(4, 2)
    codes.start(tokens, torch.ones(len(tokens)), seed=0)
    means = torch.stack([tokens[i * 30 : (i + 1) * 30].mean(0) for i in range(4)])
    nearest = torch.cdist(means, codes.vectors).min(1).values
    assert nearest.max().item() < 1e-5
    first = codes.vectors.detach().clone()
    codes.start(tokens, torch.ones(len(tokens)), seed=0)
    assert torch.equal(first, codes.vectors)
    assert codes.vectors.requires_grad


def test_the_start_weighs_tokens_by_their_share():
    tokens = torch.tensor([[0.0, 0.0], [1.0, 0.0], [9.0, 9.0], [500.0, 500.0]])
    codes = book(2, 2)
    codes.start(tokens, torch.tensor([1.0, 0.5, 1.0, 0.0]), seed=0)
    # (0, 0) weighs twice (1, 0): their centre is at a third; the padded token counts for nothing
    rows = sorted(codes.vectors.tolist())
    assert rows == [pytest.approx([1 / 3, 0], abs=1e-6), pytest.approx([9, 9], abs=1e-6)]


def test_too_few_distinct_tokens_are_named():
    tokens = torch.cat([draw(0, 3, D).repeat(10, 1), draw(1, 5, D)])
    weights = torch.cat([torch.ones(30), torch.zeros(5)])
    with pytest.raises(BadInput, match="8 codes cannot start from 3 distinct tokens"):
        book().start(tokens, weights, seed=0)


def test_kappa_gives_the_agreement_that_was_asked_for():
    codes, tokens = book(), draw(1, 500, D)
    for agreement in (0.3, 0.5, 0.8):
        codes.calibrate_kappa(tokens, agreement=agreement)
        logits = codes(tokens, mode="argmin").logits.detach().double().numpy()
        assert reference.softmax(logits).max(1).mean() == pytest.approx(agreement, abs=1e-5)


def test_sampled_codes_agree_as_often_as_kappa_promises():
    codes, tokens = book(), draw(1, 500, D)
    codes.calibrate_kappa(tokens)
    record = codes(tokens.repeat(40, 1), noise(2, 20_000, N), 0.5, "post")
    share = (record.indices == record.nearest).double().mean().item()
    assert share == pytest.approx(0.5, abs=0.015)  # four standard deviations among 20 000


def test_padded_tokens_do_not_sway_kappa():
    codes, tokens = book(), draw(1, 50, D)
    codes.calibrate_kappa(tokens)
    alone = codes.kappa.item()
    padded = torch.cat([tokens, 30 * draw(2, 50, D)])
    codes.calibrate_kappa(padded, torch.cat([torch.ones(50), torch.zeros(50)]))
    assert codes.kappa.item() == pytest.approx(alone, rel=1e-9)
    codes.calibrate_kappa(padded)
    assert codes.kappa.item() != pytest.approx(alone, rel=1e-3)


def test_an_agreement_out_of_reach_is_refused():
    codes = book()
    codes.vectors.data = codes.vectors.data[:1].repeat(N, 1)  # no noise is weak enough
    with pytest.raises(BadInput, match="no kappa makes"):
        codes.calibrate_kappa(draw(1, 50, D))


def test_kappa_is_saved_with_the_codes():
    codes = book(kappa=3.5)
    assert set(codes.state_dict()) == {"vectors", "kappa", "centre", "spread"}
    other = book()
    other.load_state_dict(codes.state_dict())
    assert other.kappa.item() == 3.5


def test_one_code_is_no_codebook():
    with pytest.raises(BadInput, match="at least 2"):
        Codebook(1, 4)


def test_unsettled_tokens_are_standardised_by_their_own_batch():
    """A batch that is one constant plus a little: every channel gets unit spread all the same."""
    codes = Codebook(4, 2)
    e = torch.tensor([[5.0, 7.0], [5.002, 7.0], [5.0, 7.004], [5.002, 7.004]])
    e = e.T.reshape(1, 2, 1, 2, 2)
    tokens = codes.tokens(e, settled=False)
    # (x - mean) / deviation is -1 or 1 in each channel
    expected = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    assert torch.allclose(tokens, expected, atol=0.05)
    plain = codes.tokens(e)
    assert plain.std(0).max() < 0.01, "unsettled it would be one constant"


def test_settling_makes_evaluation_see_what_training_saw():
    codes = Codebook(4, 3)
    e = torch.randn(2, 3, 1, 2, 2, generator=torch.Generator().manual_seed(0)) * 0.01 + 3
    own = codes.tokens(e, settled=False)
    codes.settle(e)
    assert torch.allclose(codes.tokens(e), own)
    fresh = Codebook(4, 3)
    fresh.load_state_dict(codes.state_dict())
    assert torch.equal(fresh.tokens(e), codes.tokens(e))
