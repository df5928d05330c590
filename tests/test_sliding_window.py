"""A volume's answer depends on the volume, not on how it was cut up."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.inferers import sliding_window_inference

from tests import toys
from vpbsd.config import Data, LightNet
from vpbsd.data.boxes import blocks
from vpbsd.data.folds import Part, whole_volume
from vpbsd.data.intensity import normalise
from vpbsd.data.volumes import Volume, open_volume
from vpbsd.inference.sliding_window import (
    predict,
    predict_block,
    predict_part,
    reader,
    window_starts,
)
from vpbsd.losses.segmentation import vessel_probability
from vpbsd.networks.build import build_network
from vpbsd.networks.output import SegOutput

PATCH = (32, 32, 64)


def noise(shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def predicted(network, image, patch=PATCH, side=256, precision="fp32"):
    answer = np.full(image.shape, np.nan, np.float32)
    for where, block in predict(
        network, lambda box: image[box], image.shape, patch, precision, side
    ):
        assert np.isnan(answer[where]).all(), "a voxel was answered twice"
        answer[where] = block
    return answer


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize(
    ("n", "wanted"),
    [(20, [0]), (32, [0]), (33, [0, 1]), (48, [0, 16]), (64, [0, 16, 32]), (70, [0, 16, 32, 38])],
)
def test_windows_by_hand(n, wanted):
    assert window_starts(n, 32) == wanted


def test_a_window_that_is_left_over_has_the_bits_of_any_other():
    """Five windows in a row: four and one, or all five together."""
    network = build_network(LightNet(), 0).eval()
    image = noise((32, 32, 192))
    block = tuple(slice(0, n) for n in image.shape)
    four, five = (
        predict_block(network, lambda box: image[box], image.shape, PATCH, block, batch=batch)
        for batch in (4, 5)
    )
    np.testing.assert_array_equal(four, five)


@given(n=st.integers(1, 2000), patch=st.sampled_from([32, 64, 96]))
@settings(deadline=None, max_examples=100)
def test_windows_cover_the_axis_and_overlap_by_half(n, patch):
    found = window_starts(n, patch)
    assert found[0] == 0
    assert found[-1] == max(0, n - patch)
    assert all(0 < b - a <= patch // 2 for a, b in pairwise(found))


@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    side=st.integers(1, 10),
)
@settings(deadline=None, max_examples=50)
def test_blocks_tile_the_volume(shape, side):
    hits = np.zeros(shape, int)
    for block in blocks(shape, side):
        assert max(b.stop - b.start for b in block) <= side
        hits[block] += 1
    assert (hits == 1).all()


@pytest.mark.parametrize("side", [24, 40])
def test_the_answer_does_not_depend_on_the_blocks(side):
    image = noise((40, 48, 100))
    whole_answer = predicted(toys.uneven(), image)
    assert np.ptp(whole_answer) > 0.3
    np.testing.assert_array_equal(predicted(toys.uneven(), image, side=side), whole_answer)


def test_a_student_does_not_depend_on_the_blocks_either():
    image, student = noise((32, 48, 70)), build_network(LightNet(), 0)
    np.testing.assert_array_equal(predicted(student, image, side=40), predicted(student, image))
    assert not student.training


@pytest.mark.parametrize("shape", [(32, 32, 64), (20, 40, 70), (50, 33, 9)])
def test_a_constant_network_gives_a_constant(shape):
    answer = predicted(toys.constant(0.5), noise(shape))
    np.testing.assert_allclose(answer, sigmoid(0.5), atol=1e-6)


@pytest.mark.parametrize("shape", [(32, 32, 64), (20, 40, 70), (50, 33, 9), (3, 5, 7)])
def test_a_voxelwise_network_answers_each_voxel(shape):
    """Also of volumes thinner than a patch: what was mirrored is cut off again."""
    image = noise(shape)
    np.testing.assert_allclose(
        predicted(toys.voxelwise(), image), sigmoid(8 * image - 4), atol=1e-6
    )


def test_thin_volumes_are_mirrored():
    image, seen = noise((20, 32, 64)), []
    network = toys.Toy(lambda x: seen.append(x) or x)
    predicted(network, image)
    (x,) = seen
    assert x.shape == (2, 1, *PATCH), "twice: one alone would be computed in another way"
    assert torch.equal(x[0], x[1])
    x = x[:1]
    np.testing.assert_array_equal(x[0, 0, :20].numpy(), image)
    np.testing.assert_array_equal(x[0, 0, 20:].numpy(), image[18:6:-1])


@pytest.mark.parametrize(("shape", "patch"), [((64, 48, 96), PATCH), ((40, 64, 64), (32, 64, 64))])
def test_it_agrees_with_monai(shape, patch):
    image, network = noise(shape), toys.uneven()
    wanted = sliding_window_inference(
        torch.from_numpy(image)[None, None],
        roi_size=patch,
        sw_batch_size=1,
        predictor=lambda x: vessel_probability(network(x).logits),
        overlap=0.5,
        mode="gaussian",
    )
    np.testing.assert_allclose(predicted(network, image, patch), wanted[0, 0].numpy(), atol=1e-5)


def test_half_precision_is_near():
    student, image = build_network(LightNet(), 0), noise(PATCH)
    half, full = (predicted(student, image, precision=p) for p in ("bf16", "fp32"))
    assert half.dtype == np.float32
    assert 0 < np.abs(half - full).max() < 0.05


def test_a_region_is_predicted_as_if_it_were_alone(volumes):
    """No voxel outside a spatial fold's part is read."""
    info = volumes[1]
    part, volume = Part(info, ((2, 20), (10, 60), (0, 66))), open_volume(info)
    image = normalise(volume.image_block(np.s_[2:20, 10:60, 0:66]), *volume.limits(95.0))
    answer = predict_part(toys.uneven(), part, Data(patch=PATCH), "fp32")
    np.testing.assert_array_equal(answer, predicted(toys.uneven(), image))


@pytest.mark.parametrize("kind", ["percentile", "local"])
def test_a_part_is_read_once_for_all_its_windows(kind, volumes, monkeypatch):
    """And each window is scaled on its own, as `local` compares a voxel with its window."""
    part, data = Part(volumes[1], ((0, 40), (1, 60), (0, 66))), Data(patch=PATCH, intensity=kind)
    volume, read = open_volume(part.volume), []
    scale = volume.scale(data)

    def alone(box):
        return scale(
            volume.image_block((box[0], slice(box[1].start + 1, box[1].stop + 1), box[2]))
        )

    ((_, wanted),) = predict(toys.uneven(), alone, part.shape, PATCH)
    block = Volume.image_block
    monkeypatch.setattr(Volume, "image_block", lambda v, box: read.append(box) or block(v, box))
    np.testing.assert_array_equal(predict_part(toys.uneven(), part, data, "fp32"), wanted)
    assert read == [np.s_[0:40, 1:60, 0:66]]


def test_a_reader_counts_from_its_part(volumes):
    info = volumes[0]
    read, everything = (
        reader(part, Data())
        for part in (Part(info, ((2, 32), (10, 60), (5, 64))), whole_volume(info))
    )
    box = np.s_[0:4, 3:7, 1:2]
    np.testing.assert_array_equal(read(box), everything(np.s_[2:6, 13:17, 6:7]))


def test_windows_a_stride_apart_have_equal_weight():
    """A network that answers with the mean of its window, worked out window by window."""

    class Mean(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.here = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x):
            margin = x.mean((2, 3, 4), keepdim=True).expand_as(x)
            return SegOutput(torch.cat([torch.zeros_like(margin), margin], 1), ())

    image = noise((40, 32, 70), 1)
    ((_, found),) = predict(Mean(), lambda box: image[box], image.shape, PATCH, stride=(3, 32, 4))
    total, count = np.zeros(image.shape), np.zeros(image.shape)
    for z in (0, 3, 6, 8):
        for x in (0, 4, 6):
            window = np.s_[z : z + 32, :, x : x + 64]
            total[window] += sigmoid(image[window].mean(dtype=np.float64))
            count[window] += 1
    assert np.allclose(found, total / count, atol=1e-6)
