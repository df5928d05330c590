"""Rows of metrics and the pictures behind them, for networks whose answers are known."""

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from tests import toys
from vpbsd.config import Data, LightNet
from vpbsd.data.folds import Part, whole_volume
from vpbsd.data.volume_writer import write_array
from vpbsd.data.volumes import open_volume
from vpbsd.evaluation.evaluate import evaluate
from vpbsd.evaluation.pictures import (
    code_patches,
    code_usage,
    reconstructions,
    save_png,
    titled,
)
from vpbsd.inference.profiling import size_of
from vpbsd.networks.build import build_network

DATA = Data(patch=(32, 32, 64), clip_percentile=100.0)


@pytest.fixture(scope="module")
def tube(tmp_path_factory):
    """A bright tube of which the label knows the first half; so Dice is 2 * 1/2 / (1 + 1/2)."""
    image = np.full((32, 32, 80), 10, np.uint16)
    image[12:20, 12:20] = 200
    label = image > 100
    label[..., 40:] = False
    folder = tmp_path_factory.mktemp("tube")
    return write_array(folder, "tube", image, label, spacing_um=(2.0, 1.0, 1.0), group="g")


def test_a_row_by_hand(tube):
    ((row, pictures),) = evaluate(toys.voxelwise(), (whole_volume(tube),), DATA, "fp32")
    assert (row["volume"], row["group"]) == ("tube", "g")
    assert row["dsc"] == pytest.approx(2 / 3)
    assert row["recall"] == 1
    assert row["precision"] == pytest.approx(0.5)
    assert row["threshold_dsc"] == pytest.approx(2 / 3)
    assert "hd95_um" in row
    assert list(pictures) == ["overlay", "projection", "strip"]
    for picture in pictures.values():
        assert picture.dtype == np.uint8
        assert picture.shape[2] == 3


def test_a_region_is_measured_alone(tube):
    """Its first half is segmented without a fault."""
    half = Part(tube, ((0, 32), (0, 32), (0, 40)))
    ((row, _),) = evaluate(toys.voxelwise(), (half,), DATA, "fp32")
    assert row["dsc"] == row["threshold_dsc"] == 1


def test_the_floor_is_one_threshold_of_the_image(volumes):
    """Any better network must beat what brightness alone gives."""
    part = whole_volume(volumes[0])
    volume = open_volume(volumes[0])
    image, truth = (read(np.s_[:, :, :]) for read in (volume.image_block, volume.label_block))
    ((row, _),) = evaluate(toys.constant(-9.0), (part,), DATA, "fp32")
    assert row["dsc"] == 0
    some = [
        2 * (truth * (image >= t)).sum() / (truth.sum() + (image >= t).sum())
        for t in np.quantile(image, np.linspace(0.5, 1, 30))
    ]
    assert row["threshold_dsc"] >= max(some) > 0.3
    assert row["threshold_dsc"] == pytest.approx(max(some), abs=0.02)


def test_size_of_a_student():
    """0.12 M parameters and 0.11 G multiply-adds at 64^3, as published."""
    numbers = size_of(build_network(LightNet(), 0), (64, 64, 64))
    assert 115_000 < numbers["params_deploy"] < 125_000
    assert 0.105 < numbers["gmac_torch"] < 0.12


def test_multiply_adds_by_hand():
    """A 1x1x1 convolution from 1 to 3 channels: 3 products for each of 2 * 4 * 4 voxels."""
    convolution = torch.nn.Conv3d(1, 3, 1, bias=False)
    assert size_of(convolution, (2, 4, 4)) == {"params_deploy": 3, "gmac_torch": 96 / 1e9}


def test_patches_of_codes_are_shown_by_use_and_unused_codes_named():
    """Two rows of squares: the code that is used more comes first; a row has its room."""
    white, dark = np.ones((32, 32), np.float32), np.full((32, 32), 0.5, np.float32)
    picture = code_patches({1: [dark] * 4, 2: [white]}, np.array([0.0, 2.0, 1.0]), 4)
    other = code_patches({1: [white] * 4, 2: [dark]}, np.array([0.0, 1.0, 2.0]), 4)
    first, second = (np.array_split(p, 2, axis=1)[0] for p in (picture, other))
    grey = [int((abs(half - 127.5) < 1).all(-1).sum()) for half in (first, second)]
    assert grey[0] == pytest.approx(4 * grey[1], rel=0.1)
    assert grey[1] > 500


def test_other_pictures(tmp_path):
    patches = np.random.default_rng(0).random((6, 4, 8, 8), np.float32)
    pictures = {
        "rebuilt": reconstructions(patches, {"again": patches}),
        "one": reconstructions(patches[:1], {"again": patches[:1]}),
        "usage": code_usage(np.array([3.0, 0.0, 1.0]), "title"),
        "unused": code_usage(np.zeros(3), "title"),
        "titled": titled(code_usage(np.ones(3), "title"), "VpbSD, fold 0, seed 0"),
    }
    for name, picture in pictures.items():
        assert picture.dtype == np.uint8
        assert picture.std() > 1, name
        save_png(tmp_path / f"{name}.png", picture)
        read = imread(tmp_path / f"{name}.png")[..., :3]
        np.testing.assert_allclose(read, picture / 255, atol=1 / 255)
    assert pictures["rebuilt"].shape[1] > pictures["one"].shape[1]
    assert pictures["titled"].shape[1] == pictures["usage"].shape[1]
