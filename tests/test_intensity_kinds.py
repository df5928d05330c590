"""Each way of normalising: answers by hand, invariances, and one map for all readers."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from vpbsd.config import Data, Sampling
from vpbsd.data.folds import whole_volume
from vpbsd.data.intensity import Histogram, Table
from vpbsd.data.lattice import PatchSet, sample
from vpbsd.data.normalisation import Linear, Local, Matched, otsu, scale, tissue
from vpbsd.data.volume_writer import write_array
from vpbsd.data.volumes import check_intensity, open_volume
from vpbsd.errors import BadInput
from vpbsd.inference.model import SETTINGS, SegmentationModel, Wants, write_settings
from vpbsd.inference.sliding_window import reader
from vpbsd.networks.output import SegOutput
from vpbsd.overrides import override

PATCH = (32, 32, 64)
KINDS = ("percentile", "zscore", "match", "local", "window")
BOX = (slice(0, 20), slice(0, 32), slice(0, 64))


def image(seed=0):
    """Dark tissue with a bright tail, even so that doubling stays exact."""
    drawn = np.random.default_rng(seed).gamma(2, 40, (20, 40, 70))
    return np.minimum(drawn, 1000).astype(np.uint16) * 4 + 8


def counted(voxels):
    return Histogram(*np.unique(voxels, return_counts=True))


def data_of(kind, percentile=99.0):
    window = {"window": (100, 1500)} if kind == "window" else {}
    return Data(patch=PATCH, intensity=kind, clip_percentile=percentile, **window)


def seen(voxels, kind, percentile=99.0):
    return scale(data_of(kind, percentile), counted(voxels), "v")(voxels)


@pytest.fixture
def stored(tmp_path):
    return write_array(tmp_path, "v", image(), spacing_um=None, group="g")


def test_match_by_hand():
    """Half of the voxels are 3 and half 8: their middles are the 25th and 75th percentile."""
    made = Matched.of(Histogram(np.array([3, 8]), np.array([2, 2])))(np.array([3, 8], np.uint8))
    np.testing.assert_allclose(made, np.log([4 / 3, 4]) / np.log(1000), rtol=1e-6)


def test_match_ends_at_one_and_makes_a_constant_volume_dark():
    rare = Matched.of(Histogram(np.array([0, 9]), np.array([9999, 1])))
    assert rare(np.array([9.0])).tolist() == [1]
    constant = Matched.of(Histogram(np.array([7]), np.array([5])))
    assert constant(np.array([7, 7])).tolist() == [0, 0]


def test_zscore_by_hand():
    """Tissue is 90, 100, 100, 110; half the way from its 16th (94.8) to its 84th percentile."""
    voxels = np.array([0] * 6 + [90, 100, 100, 110])
    assert otsu(counted(voxels)) == 0
    low, high = tissue(counted(voxels), "v")
    deviation = (np.percentile([90, 100, 100, 110], 84) - 94.8) / 2
    assert (low, high) == pytest.approx((100 - 4 * deviation, 100 + 4 * deviation))
    assert seen(voxels, "zscore")[7] == pytest.approx(0.5)


def test_zscore_of_a_constant_volume_and_of_flat_tissue():
    assert not seen(np.full((2, 2), 7), "zscore").any()
    with pytest.raises(BadInput, match="volume v: most of its tissue has the brightness 9"):
        seen(np.array([0, 0, 9, 9]), "zscore")


def test_local_by_hand():
    """All voxels but one are equal: the box holds all of a small block, mirrored evenly."""
    block = np.full((32, 32, 32), 0.5)
    block[16, 16, 16] = 1
    made = Local(Linear(0, 1))(block)
    mean, deviation = 0.5 + 2**-16, 0.5 * np.sqrt(2**-15 - 2**-30)
    assert made[16, 16, 16] == 1  # far above six deviations
    assert made[15, 15, 15] == pytest.approx((2 + (0.5 - mean) / (deviation + 0.02)) / 8, abs=1e-6)


def test_local_leaves_a_constant_block_at_the_mean():
    assert set(Local(Linear(0, 10))(np.full((8, 8, 8), 5)).ravel().tolist()) == {0.25}


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_brightness_and_offset_of_a_volume_change_nothing(kind):
    before, after = seen(image(), kind), seen(image() * 2 + 100, kind)
    np.testing.assert_allclose(before, after, atol=1e-6)
    assert 0 <= before.min() < before.max() <= 1


def test_any_increasing_change_leaves_a_matched_image_as_it_is():
    bent = (image().astype(np.int64) ** 2 // 4).astype(np.int64)
    np.testing.assert_array_equal(seen(image(), "match"), seen(bent, "match"))
    assert abs(seen(image(), "percentile") - seen(bent, "percentile")).max() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_all_readers_see_the_same(stored, kind, tmp_path):
    data = data_of(kind)
    part, raw = whole_volume(stored), open_volume(stored).image_block(BOX)
    wanted = scale(data, counted(image()), "v")(raw)
    np.testing.assert_array_equal(PatchSet([part], data).image(0)[:20], wanted)
    np.testing.assert_array_equal(reader(part, data)(BOX), wanted)


class Sees(nn.Module):
    """Keeps the windows that it is shown."""

    def __init__(self):
        super().__init__()
        self.bias, self.windows = nn.Parameter(torch.zeros(1)), []

    def forward(self, x):
        self.windows.append(x[0, 0].numpy())
        return SegOutput(torch.cat([x, -x], 1), ())


@pytest.mark.parametrize("kind", KINDS)
def test_a_deployed_model_sees_what_it_was_trained_on(kind, tmp_path):
    """Bright and dark by turns of 8 voxels: noise alone is no tissue, and is not looked at."""
    data = data_of(kind)
    tissue = image() + 800 * (np.indices((20, 40, 70)) // 8 % 2).prod(0).astype(np.uint16)
    stored = write_array(tmp_path, "v", tissue, spacing_um=None, group="g")
    write_settings(tmp_path, data)
    deployed = Wants.model_validate(json.loads((tmp_path / SETTINGS).read_text()))
    model = SegmentationModel(Sees(), deployed)
    model.predict(tissue)
    np.testing.assert_array_equal(
        model.network.windows[0], PatchSet([whole_volume(stored)], data).image(0)
    )


def test_settings_of_an_older_model_folder_are_written_as_before(tmp_path):
    write_settings(tmp_path, Data(patch=PATCH))
    assert (tmp_path / SETTINGS).read_text() == '{"clip_percentile":95.0,"patch":[32,32,64]}'


def test_the_sample_of_unlabelled_cells_does_not_depend_on_it(tmp_path):
    dark = np.random.default_rng(0).integers(0, 90, (32, 32, 640)).astype(np.uint16)
    dark[..., :64] += 1000
    part = whole_volume(write_array(tmp_path, "d", dark, spacing_um=None, group="g"))
    few = Sampling(patches=4, background_share=0.25)
    drawn = [sample([part], data_of(kind, 95.0), few).cells for kind in KINDS]
    assert len(drawn[0]) == 2  # the bright cell, and one of the nine dark ones
    assert all(cells == drawn[0] for cells in drawn)


@pytest.mark.parametrize("kind", ["zscore", "match"])
def test_volumes_without_a_histogram_are_refused_before_training(tmp_path, kind):
    info = write_array(tmp_path, "f", image().astype(np.float32), spacing_um=None, group="g")
    check_intensity([info], Data(intensity="local"))
    with pytest.raises(BadInput, match=f"volume f: data.intensity={kind} needs the count of"):
        check_intensity([info], Data(intensity=kind))


def test_a_window_is_the_same_in_every_volume():
    """Hounsfield units of soft tissue, whatever else a volume holds, and of any type."""
    data = Data(intensity="window", window=(-160, 240))
    raw = np.array([-1000, -160, 40, 240, 3000])
    for dtype in (np.int16, np.float32):
        found = scale(data, Table({0.0: 0.0}), "v")(raw.astype(dtype))
        assert found.tolist() == [0, 0, 0.5, 1, 1]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"intensity": "window"}, "go together: give both"),
        ({"window": (0, 1)}, "go together: give both"),
        ({"intensity": "window", "window": (5, 5)}, "must be below the second"),
    ],
)
def test_a_window_that_cannot_be_is_refused(given, says):
    with pytest.raises(BadInput, match=says):
        override(Data(), given)
