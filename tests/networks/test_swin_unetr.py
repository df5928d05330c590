"""The teacher: MONAI's network, taken apart and put together again."""

import pytest
import torch

from vpbsd.errors import BadInput
from vpbsd.networks.alignment import alignment
from vpbsd.networks.codebook import Codebook, gumbel
from vpbsd.networks.quantiser import PatternQuantiser
from vpbsd.networks.swin_unetr import SKIPS, SwinTeacher, check_patch

SMALL = {"feature_size": 12, "depths": (1, 1, 1, 1), "window_size": 4}
WIDE, NARROW, N = 192, 8, 16
SIDES, GRID = (32, 32, 64), (1, 1, 2)


def teacher(quantised=False, kind="conv1", grid=GRID, **settings):
    torch.manual_seed(0)
    if not quantised:
        return SwinTeacher(**SMALL, **settings)
    quantiser = PatternQuantiser(*alignment(kind, WIDE, NARROW, grid), Codebook(N, NARROW))
    return SwinTeacher(**SMALL, quantiser=quantiser, **settings)


def patch(batch=1, sides=SIDES):
    return torch.rand(batch, 1, *sides, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def plain():
    return teacher().eval()


@pytest.fixture(scope="module")
def encoded(plain):
    x = patch(2)
    with torch.no_grad():
        return x, plain.encode(x)


def test_the_default_is_the_published_network():
    net = SwinTeacher()
    assert sum(p.numel() for p in net.net.parameters()) == 62_186_708
    assert sum(p.numel() for p in net.reconstruction.parameters()) == 49


@pytest.mark.parametrize("training", [False, True])
def test_without_quantiser_it_is_the_stock_network_bit_for_bit(training):
    network, x = teacher().train(training), patch()
    with torch.no_grad():
        assert torch.equal(network(x).logits, network.net(4 * x - 1))


def test_raw_state_and_all_skips_change_nothing(plain, encoded):
    x, hidden = encoded
    with torch.no_grad():
        stock = plain.net(4 * x - 1)
        again = plain.decode(x, hidden, hidden[-1], torch.ones(2, SKIPS))
    assert torch.equal(again.logits, stock)


def test_stages_are_layer_normed_states(plain, encoded):
    x, hidden = encoded
    assert [tuple(stage.shape) for stage in hidden] == [
        (2, 12 * 2**i, 16 // 2**i, 16 // 2**i, 32 // 2**i) for i in range(5)
    ]
    with torch.no_grad():
        stages = plain(x).stages
    for stage, state in zip(stages, hidden, strict=True):
        assert torch.equal(stage, state)
        assert torch.allclose(stage.mean(1), torch.zeros(()), atol=1e-5)
        assert torch.allclose(stage.var(1, correction=0), torch.ones(()), atol=0.05)


def test_features_of_the_decoder_go_from_coarse_to_what_the_head_sees(plain, encoded):
    x, hidden = encoded
    with torch.no_grad():
        answer = plain.decode(x, hidden)
        assert torch.equal(plain.net.out(answer.decoded[-1]), answer.logits)
    assert [level.shape[1] for level in answer.decoded] == [96, 48, 24, 12, 12]
    assert [level.shape[-1] for level in answer.decoded] == [4, 8, 16, 32, 64]


@pytest.mark.parametrize("skip", range(SKIPS))
def test_each_skip_can_be_dropped_per_sample(plain, encoded, skip):
    x, hidden = encoded
    keep = torch.ones(2, SKIPS)
    keep[1, skip] = 0
    with torch.no_grad():
        whole, dropped = plain.decode(x, hidden), plain.decode(x, hidden, keep_skips=keep)
    assert torch.equal(whole.logits[0], dropped.logits[0])
    assert not torch.allclose(whole.logits[1], dropped.logits[1])


def test_skips_are_ordered_from_full_resolution_down(plain, encoded):
    x, hidden = encoded
    other = torch.rand_like(x)
    keep = torch.ones(2, SKIPS)
    keep[:, 0] = 0
    with torch.no_grad():
        # the image enters the decoder by the first skip alone, the state at 1/16 by the last
        same = [plain.decode(image, hidden, keep_skips=keep).logits for image in (x, other)]
        changed = (*hidden[:3], torch.zeros_like(hidden[3]), hidden[4])
        keep_but_last = torch.tensor([[1.0, 1, 1, 1, 0]] * 2)
        last = plain.decode(x, hidden, keep_skips=keep_but_last).logits
        expected = plain.decode(x, changed).logits
    assert torch.equal(*same)
    assert torch.equal(last, expected)


def test_without_skips_the_codes_are_all_there_is():
    network, x, none = (
        teacher(quantised=True).eval(),
        patch(1, (32, 64, 64)),
        torch.zeros(1, SKIPS),
    )
    with torch.no_grad():
        hidden = network.encode(x)
        codes = network.quantiser.codebook.vectors[:4]
        u, swapped = (network.quantiser.project(q, (1, 2, 2)) for q in (codes, codes.flip(0)))
        image = network.reconstruct(x, hidden, u, none)
        shuffled = network.reconstruct(x, hidden, swapped, none)
        zeroed = network.reconstruct(x, hidden, torch.zeros_like(u), none)
        others = tuple(torch.rand_like(state) for state in hidden)
        unread = network.reconstruct(torch.rand_like(x), others, u, none)
    assert image.shape == x.shape
    assert not torch.allclose(image, shuffled)
    assert not torch.allclose(image, zeroed)
    assert torch.equal(image, unread)


def test_half_the_resolution_stops_before_the_last_block():
    network, x = teacher().eval(), patch(1, (32, 64, 64))
    with torch.no_grad():
        hidden, all_on = network.encode(x), torch.ones(1, SKIPS)
        half = network.reconstruct(x, hidden, None, all_on, scale=2)
        net = network.net
        y = net.decoder5(net.encoder10(hidden[4]), hidden[3])
        y = net.decoder4(y, net.encoder4(hidden[2]))
        y = net.decoder3(y, net.encoder3(hidden[1]))
        y = net.decoder2(y, net.encoder2(hidden[0]))
        assert torch.equal(half, network.reconstruction(y))
    assert half.shape == (1, 1, 16, 32, 32)


@pytest.mark.parametrize(
    ("kind", "sides", "grid"),
    [("conv1", (32, 64, 64), (1, 2, 2)), ("chsel", SIDES, GRID)],
)
def test_a_quantised_teacher_decodes_the_nearest_codes(kind, sides, grid):
    network, x = teacher(True, kind, grid).eval(), patch(1, sides)
    with torch.no_grad():
        hidden = network.encode(x)
        u, _ = network.quantiser(hidden[-1])
        expected, answer = network.decode(x, hidden, u), network(x)
    assert torch.equal(answer.logits, expected.logits)
    assert not torch.allclose(answer.logits, network.net(x))
    assert torch.equal(answer.stages[-1], hidden[-1])


def test_a_side_branch_leaves_the_decoder_alone():
    network, x = teacher(quantised=True, decode_codes=False).eval(), patch()
    with torch.no_grad():
        assert torch.equal(network(x).logits, network.net(4 * x - 1))


def test_fine_tuning_reaches_the_encoder_and_neither_codes_nor_alignment():
    network, x = teacher(quantised=True).train(), patch()
    hidden = network.encode(x)
    hidden[-1].retain_grad()
    network.encode = lambda _: hidden
    network(x).logits.square().mean().backward()
    assert (hidden[-1].grad != 0).any()
    assert all(p.grad is None for p in network.quantiser.parameters())
    assert (network.net.swinViT.patch_embed.proj.weight.grad != 0).any()


def test_pre_training_reaches_encoder_codes_and_alignment():
    network, x = teacher(quantised=True).train(), patch()
    hidden = network.encode(x)
    g = gumbel((2, N), torch.Generator().manual_seed(0))
    u, _ = network.quantiser(hidden[-1], g, 1.0, "post")
    image = network.reconstruct(x, hidden, u, torch.zeros(1, SKIPS))
    (image - x).square().mean().backward()
    trained = (network.quantiser, network.reconstruction, network.net.swinViT.patch_embed)
    assert all((p.grad != 0).any() for part in trained for p in part.parameters())
    assert network.net.out.conv.conv.weight.grad is None


def test_half_precision_keeps_the_codes():
    network, x = teacher(quantised=True).eval(), patch()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        u, record = network.quantiser(network.encode(x)[-1])
    assert u.isfinite().all()
    assert record.tokens.dtype == record.vectors.dtype == torch.float32
    assert torch.equal(record.vectors, network.quantiser.codebook.vectors[record.indices])


@pytest.mark.parametrize("sides", [(64, 64, 64), (32, 64, 64), (32, 32, 64), (96, 32, 32)])
def test_legal_patches_pass(sides):
    check_patch(sides)


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        ((32, 32, 32), "patch 32x32x32: .* single voxel, .* use 64x64x64 or 32x64x64"),
        ((64, 64, 50), "patch 64x64x50: .* multiple of 32; use 64x64x64 or 32x64x64"),
        ((0, 64, 64), "patch 0x64x64: .* multiple of 32"),
        ((64, 64), "patch 64x64: .* three sides"),
    ],
)
def test_other_patches_are_named(plain, sides, message):
    with pytest.raises(BadInput, match=message):
        check_patch(sides)
    with pytest.raises(BadInput, match=message):
        plain(torch.zeros(1, 1, *sides))


def test_feature_size_must_suit_the_heads():
    with pytest.raises(BadInput, match="feature_size 10"):
        SwinTeacher(feature_size=10)
