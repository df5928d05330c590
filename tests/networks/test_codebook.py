"""How codes are chosen, where gradients go, and how the codebook starts."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks.codebooks import D, N, T, book, draw, noise
from tests.references import losses as reference
from vpbsd.losses.codebook import codebook_loss, squared_error
from vpbsd.networks.code_usage import histogram, perplexity, usage
from vpbsd.networks.codebook import hard_gumbel


def test_tokens_are_standardised_in_the_order_b_z_y_x():
    e, codes = draw(0, 2, D, 1, 2, 3), book()
    codes.centre.fill_(3.0)
    codes.spread.fill_(2.0)
    tokens = codes.tokens(e)
    assert tokens.shape == (12, D)
    assert torch.allclose(tokens[-1], (e[1, :, 0, 1, 2] - 3) / 2)  # the last of the second sample
    assert torch.allclose(tokens[1], (e[0, :, 0, 0, 1] - 3) / 2)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_eval_takes_the_nearest_row(seed):
    codes, tokens = book().eval(), draw(seed, T, D)
    record = codes(tokens, noise(seed, T, N), 0.1, "post")
    distances = reference.squared_distances(
        tokens.double().numpy(), codes.vectors.detach().numpy()
    )
    assert record.indices.tolist() == distances.argmin(1).tolist()
    assert torch.equal(record.indices, record.nearest)
    assert torch.equal(record.vectors, codes.vectors[record.indices])
    assert torch.equal(record.chosen, record.vectors)
    assert record.logits.detach().numpy() == pytest.approx(-distances, abs=1e-4)
    assert torch.equal(record.weights, torch.nn.functional.one_hot(record.indices, N).float())


def test_permuting_codes_permutes_indices_and_nothing_else():
    codes, tokens, order = book().eval(), draw(1, T, D), torch.randperm(N)
    before = codes(tokens)
    codes.vectors.data = codes.vectors.data[order]
    after = codes(tokens)
    assert torch.equal(after.vectors, before.vectors)
    assert torch.equal(order[after.indices], before.indices)


def test_permuting_tokens_permutes_vectors():
    codes, tokens, order = book().eval(), draw(1, T, D), torch.randperm(T)
    assert torch.equal(codes(tokens[order]).vectors, codes(tokens).vectors[order])


def test_cold_pre_mode_is_greedy_and_warm_is_not():
    codes, tokens, g = book(kappa=0.01), draw(1, 200, D), noise(2, 200, N)
    cold, warm = (codes(tokens, g, tau, "pre") for tau in (1e-6, 1.0))
    assert torch.equal(cold.indices, cold.nearest)
    assert (warm.indices != warm.nearest).any()


def test_post_mode_chooses_alike_at_any_temperature():
    codes, tokens, g = book(kappa=0.1), draw(1, 200, D), noise(2, 200, N)
    hot, cold = (codes(tokens, g, tau, "post") for tau in (2.0, 0.1))
    assert torch.equal(hot.indices, cold.indices)
    assert (hot.indices != hot.nearest).any()
    assert torch.equal(hot.indices, (hot.logits + g).argmax(1))


@pytest.mark.parametrize("mode", ["post", "pre"])
def test_gumbel_max_frequencies_are_the_softmax(mode):
    logits, draws = torch.tensor([1.0, 0.0, -1.0]).expand(40_000, 3), noise(3, 40_000, 3)
    tau = 1.0 if mode == "pre" else 0.3
    frequencies = hard_gumbel(logits, draws, tau, mode).mean(0).tolist()
    # four standard deviations of a share among 40 000 are at most .01
    assert frequencies == pytest.approx([0.66524, 0.24473, 0.09003], abs=0.01)


def test_gumbel_noise_has_its_mean_and_spread():
    draws = noise(4, 200_000)
    assert draws.mean().item() == pytest.approx(0.5772, abs=0.012)
    assert draws.std().item() == pytest.approx(1.28255, abs=0.015)


def test_noise_is_the_generators_and_leaves_the_global_one_alone():
    before = torch.get_rng_state()
    assert torch.equal(noise(5, 3, 2), noise(5, 3, 2))
    book_state = torch.get_rng_state()
    assert torch.equal(before, book_state)


@pytest.mark.parametrize("mode", ["post", "pre"])
def test_weights_are_one_hot_forward_and_soft_backward(mode):
    logits, g, c, tau = draw(0, T, N), noise(1, T, N), draw(2, T, N), 0.7
    hard_in, soft_in = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    weights = hard_gumbel(hard_in, g, tau, mode)
    assert torch.equal(weights.sort(1).values[:, -1], torch.ones(T))
    assert torch.equal(weights.sum(1), torch.ones(T))
    noisy = (soft_in + g) / tau if mode == "post" else soft_in / tau + g
    (c * weights).sum().backward()
    (c * torch.softmax(noisy, 1)).sum().backward()
    assert torch.equal(hard_in.grad, soft_in.grad)
    assert (hard_in.grad != 0).any()
    expected = reference.softmax(noisy.detach().double().numpy())
    assert torch.softmax(noisy, 1).detach().numpy() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("mode", ["post", "pre"])
def test_sampled_vectors_are_rows_of_the_codebook(mode):
    codes, tokens = book(kappa=0.1), draw(1, T, D).requires_grad_()
    record = codes(tokens, noise(2, T, N), 1.0, mode)
    assert torch.equal(record.vectors, codes.vectors[record.indices])
    record.vectors.square().sum().backward()
    assert (tokens.grad != 0).any()  # through the weights
    assert (codes.vectors.grad != 0).any()


def test_copy_hands_the_gradient_over_and_keeps_the_value():
    codes, tokens = book(), draw(1, T, D).requires_grad_()
    record = codes(tokens, mode="copy")
    upstream = draw(2, T, D)
    assert torch.equal(record.vectors, codes.vectors[record.nearest])
    record.vectors.backward(upstream)
    assert torch.equal(tokens.grad, upstream)
    assert codes.vectors.grad is None


def test_argmin_gives_tokens_no_gradient():
    codes, tokens = book(), draw(1, T, D).requires_grad_()
    codes(tokens, mode="argmin").vectors.sum().backward()
    assert tokens.grad is None
    assert (codes.vectors.grad != 0).any()


@pytest.mark.parametrize("training", [True, False])
def test_continuous_lets_tokens_pass(training):
    codes, tokens = book().train(training), draw(1, T, D)
    record = codes(tokens, mode="continuous")
    assert torch.equal(record.vectors, tokens)
    assert torch.equal(record.indices, codes(tokens, mode="argmin").indices)


def test_sampling_needs_noise():
    with pytest.raises(ValueError, match="give noise"):
        book()(draw(0, T, D))


def test_codebook_loss_moves_only_rows_that_were_chosen():
    codes, tokens = book(kappa=0.1), draw(1, 4, D).requires_grad_()
    record = codes(tokens, noise(2, 4, N))
    codebook_loss(record.tokens, record.chosen, commitment=0.0).backward()
    moved = (codes.vectors.grad != 0).any(1)
    assert set(moved.nonzero().flatten().tolist()) == set(record.indices.tolist())
    assert moved.sum() < N
    assert (tokens.grad == 0).all()


def test_a_token_on_a_code_is_that_code_and_costs_nothing():
    codes = book()
    record = codes(codes.vectors.detach()[[5, 2]], mode="copy")
    assert record.indices.tolist() == [5, 2]
    assert codebook_loss(record.tokens, record.chosen).item() == 0
    assert squared_error(record.tokens, codes.vectors[record.nearest]).item() == 0
    codes.vectors.square().sum().backward()
    assert codes.vectors.grad.isfinite().all()


def test_a_token_on_a_code_has_a_finite_gradient():
    codes = book()
    tokens = codes.vectors.detach()[[5, 2]].requires_grad_()
    codes(tokens, noise(0, 2, N)).vectors.square().sum().backward()
    assert tokens.grad.isfinite().all()
    assert codes.vectors.grad.isfinite().all()


def test_half_precision_changes_nothing_inside():
    codes, e, g = book(), draw(1, 2, D, 2, 2, 2), noise(2, 16, N)
    plain = codes(codes.tokens(e), g)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        record = codes(codes.tokens(e), g)
    assert record.vectors.dtype == torch.float32
    for mine, theirs in zip(record, plain, strict=True):
        assert torch.equal(mine, theirs)
    assert codes.tokens(e.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize(
    ("counts", "expected", "used"),
    [([3, 3, 3, 3], 4, 1.0), ([0, 7, 0, 0], 1, 0.25), ([2, 0, 2, 0], 2, 0.5), ([0] * 4, 0, 0.0)],
)
def test_perplexity_and_usage_by_hand(counts, expected, used):
    assert perplexity(torch.tensor(counts)) == pytest.approx(expected)
    assert usage(torch.tensor(counts)) == used


@given(st.lists(st.integers(0, 50), min_size=2, max_size=20).filter(any))
@settings(max_examples=30, deadline=None)
def test_perplexity_equals_its_reference(counts):
    assert perplexity(torch.tensor(counts)) == pytest.approx(reference.perplexity(counts))


def test_histogram_counts_shares():
    indices = torch.tensor([1, 1, 3])
    assert histogram(indices, 5).tolist() == [0, 2, 0, 1, 0]
    assert histogram(indices, 5, torch.tensor([1.0, 0.5, 0.0])).tolist() == [0, 1.5, 0, 0, 0]
