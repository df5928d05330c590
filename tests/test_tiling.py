"""Tiles give the answer of one pass over the whole volume, however it is cut."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vpbsd.config import LightNet
from vpbsd.data.lattice import padded
from vpbsd.inference import folded as parts
from vpbsd.inference.folded import FoldedUNet
from vpbsd.inference.statistics import with_running_statistics
from vpbsd.inference.tiling import TiledNetwork, Tiling
from vpbsd.networks.build import build_network

NETWORKS = {
    "plain": LightNet(norm="batch"),
    "thick slices, intensity path": LightNet(norm="batch", z_halvings=3, intensity_path=True),
}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    """A network that has seen images, with factors and shifts unlike those it began with."""
    made = build_network(NETWORKS[request.param], 0).train()
    torch.manual_seed(0)
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.momentum = 0.5
            torch.nn.init.uniform_(module.weight, 0.5, 2)
            torch.nn.init.uniform_(module.bias, -1, 1)
    with torch.no_grad():
        for _ in range(3):
            made(torch.rand(2, 1, 64, 64, 64))
    return made.eval()


def one_pass(network, image):
    """The probability of a volume that goes through the network at once, mirrored at its ends."""
    sides = tuple(-(-n // 32) * 32 for n in image.shape)
    with torch.no_grad():
        logits = network(torch.from_numpy(padded(image, sides))[None, None]).logits[0]
    probability = torch.softmax(logits, 0)[1].numpy()
    return probability[tuple(slice(n) for n in image.shape)]


def tiled(network, image, tiling):
    answer = np.full(image.shape, np.nan, np.float32)
    run = TiledNetwork(FoldedUNet(network), lambda b: image[b], image.shape, tiling=tiling)
    for block, logits in answered(run, tiling.blocks(image.shape)):
        assert np.isnan(answer[block]).all(), "a voxel was answered twice"
        answer[block] = sigmoid(logits)
    return answer


def answered(run, blocks, wanted=None):
    """All three rounds, each in another order than the one before; what was not left is NaN."""
    context, deep = (np.full(run.feature_shape, np.nan, np.float32) for _ in range(2))
    boxes = run.deep_boxes(blocks, blocks if wanted is None else wanted)
    for tile in reversed(run.context_boxes(boxes)):
        context[run.cells(tile)] = run.context(tile)
    for box in boxes:
        deep[run.cells(box)] = run.deep(box, context)
    return [(b, run.logits(b, deep)) for b in reversed(blocks if wanted is None else wanted)]


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(20, 70), st.integers(1, 200)),
    side=st.sampled_from([32, 64]),
    times=st.integers(1, 2),
    seed=st.integers(0, 9),
)
@settings(deadline=None, max_examples=6)
def test_tiles_answer_as_one_pass_does(network, shape, side, times, seed):
    image = np.random.default_rng(seed).random(shape, np.float32)
    found = tiled(network, image, Tiling(side * times, side))
    np.testing.assert_allclose(found, one_pass(network, image), atol=1e-5)


def test_a_long_volume_is_seen_as_far_as_the_network_reaches(network):
    """Longer than two reaches: most regions see only a part of it."""
    image = np.random.default_rng(1).random((20, 32, 480), np.float32)
    found = tiled(network, image, Tiling(64, 64))
    np.testing.assert_allclose(found, one_pass(network, image), atol=1e-5)


def test_empty_tiles_cost_nothing_and_change_nothing(network):
    image = np.random.default_rng(2).random((20, 40, 300), np.float32)
    image[..., 70:230] = 0
    seen = []

    def occupied(box):
        return bool(image[box].any())

    def read(box):
        seen.append(box[2])
        return image[box]

    run = TiledNetwork(FoldedUNet(network), read, image.shape, occupied, Tiling(32, 32))
    blocks = [b for b in run.tiling.blocks(image.shape) if occupied(b)]
    assert sorted({b[2].start for b in blocks}) == [0, 32, 64, 224, 256, 288]
    wanted = one_pass(network, image)
    for block, logits in answered(run, blocks):
        np.testing.assert_allclose(sigmoid(logits), wanted[block], atol=1e-5)
    assert not any(box.start >= 70 and box.stop <= 230 for box in seen)


def test_a_block_needs_only_what_lies_around_it(network):
    image = np.random.default_rng(5).random((8, 20, 900), np.float32)
    run = TiledNetwork(FoldedUNet(network), lambda b: image[b], image.shape, tiling=Tiling(64, 32))
    blocks = run.tiling.blocks(image.shape)
    ((_, logits),) = answered(run, blocks, wanted=[blocks[12]])  # from 384 on
    np.testing.assert_allclose(sigmoid(logits), one_pass(network, image)[blocks[12]], atol=1e-5)
    deep = run.deep_boxes(blocks, [blocks[12]])
    assert [box[2] for box in deep] == [slice(320, 384), slice(384, 448)]
    tiles = [box[2].start for box in run.context_boxes(deep)]
    assert tiles == list(range(160, 608, 32))


def test_what_deep_features_are_cut_in_depends_on_all_blocks_alone():
    """Else a run that goes on would fill chunks that others have left by halves."""
    network = FoldedUNet(build_network(LightNet(norm="batch"), 0))
    run = TiledNetwork(network, np.zeros, (32, 32, 256), tiling=Tiling(128, 32))
    blocks = run.tiling.blocks((32, 32, 256))
    whole = [box[2] for box in run.deep_boxes(blocks[:2] + blocks[6:], blocks[:1])]
    assert whole == [slice(0, 96)]


@pytest.mark.parametrize(
    ("part", "reach", "grain"),
    [("context", "REACH_CONTEXT", 8), ("fine", "REACH_FINE", 8), ("forward", "REACH_DEEP", 32)],
)
def test_the_reach_is_what_is_stated(part, reach, grain):
    """NaN goes as far as a network looks: it arrives from the reach, and from no voxel beyond."""
    folded, far = FoldedUNet(build_network(LightNet(norm="batch"), 0)), getattr(parts, reach)
    start = -(-far // 32) * 32 + 32
    for distance, arrives in ((far, True), (far + 1, False)):
        image = torch.zeros(1, 1, 32, 32, start + 32)
        image[..., start - distance] = torch.nan
        below = torch.zeros(1, folded.width, 4, 4, (start + 32) // 8)
        with torch.no_grad():
            answer = folded.fine(image, below) if part == "fine" else getattr(folded, part)(image)
        first = start // 8 if part == "context" else start
        assert answer[..., first : first + max(1, grain // 8)].isnan().any() == arrives


def test_statistics_of_one_window_are_what_group_norm_takes():
    network = build_network(LightNet(intensity_path=True), 0).eval()
    window = torch.from_numpy(np.random.default_rng(3).random((1, 1, 32, 64, 32), np.float32))
    fixed = with_running_statistics(network, window)
    with torch.no_grad():
        logits = network(window).logits
        wanted = logits[:, 1] - logits[:, 0]
        torch.testing.assert_close(FoldedUNet(fixed)(window)[:, 0], wanted, atol=1e-4, rtol=0)
        darker = network(window * 0.5).logits
        assert (fixed(window * 0.5).logits - darker).abs().max() > 1e-3, "they are not fixed"


def test_statistics_are_means_over_windows():
    network = build_network(LightNet(), 0).eval()
    windows = torch.from_numpy(np.random.default_rng(4).random((3, 1, 32, 32, 64), np.float32))
    windows[1] *= 0.2
    norm = with_running_statistics(network, windows).encoder[0][1]
    first = network.encoder[0][0](windows).detach().double().numpy()  # 4 channels, 4 groups
    np.testing.assert_allclose(norm.running_mean, first.mean((0, 2, 3, 4)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(norm.running_var, first.var((2, 3, 4)).mean(0), rtol=1e-4)
    assert isinstance(network.encoder[0][1], torch.nn.GroupNorm), "the network was changed"
