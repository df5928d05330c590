"""Rows of metrics and the pictures behind them, for networks whose answers are known."""

from collections import Counter

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
    SAFE,
    code_patches,
    code_usage,
    overlay,
    projections,
    reconstructions,
    save_png,
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
    assert list(pictures) == ["overlay", "projection"]
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


def colours(picture):
    """How many pixels are clearly green, blue and red."""
    red, green, blue = (picture[..., i].astype(int) for i in range(3))
    return {
        "correct": int(((green > red + 90) & (green > blue + 90)).sum()),
        "missed": int(((blue > red + 90) & (blue > green + 90)).sum()),
        "false": int(((red > green + 90) & (red > blue + 90)).sum()),
    }


@pytest.mark.parametrize(
    ("truth", "prediction", "wanted"),
    [(1, 1, "correct"), (1, 0, "missed"), (0, 1, "false"), (0, 0, None)],
)
def test_overlays_have_the_colours_of_the_paper(truth, prediction, wanted):
    image = np.full((8, 8, 8), 0.5, np.float32)
    masks = [np.full(image.shape, bool(value)) for value in (truth, prediction)]
    found = colours(overlay(image, *masks, "title"))
    assert {name for name, count in found.items() if count > 1000} == (
        {wanted} if wanted else set()
    )


def test_an_overlay_cuts_where_most_vessel_is():
    truth = np.zeros((8, 8, 8), bool)
    truth[5, :, 2] = True
    image = np.zeros(truth.shape, np.float32)
    assert colours(overlay(image, truth, truth, "t"))["correct"] > 1000
    assert colours(overlay(image, ~truth & False, ~truth & False, "t"))["correct"] < 1000


def test_a_ray_has_the_colour_of_most_of_its_vessel_and_of_the_error_where_even():
    """Columns of two voxels of vessel: both found, half of them found, none found, both false."""
    truth, prediction = np.zeros((2, 2, 4, 80), bool)
    truth[:, :, :60], prediction[:, :, :20], prediction[0, :, 20:40] = True, True, True
    prediction[:, :, 60:] = True
    picture = projections(np.zeros(truth.shape, np.float32), truth, prediction, "t")
    found, flat = colours(picture), Counter(map(tuple, picture.reshape(-1, 3).tolist()))
    assert found["missed"] == pytest.approx(2 * found["correct"], rel=0.1)
    assert found["correct"] > 1000
    safe = [flat[tuple(int(0.75 * c * 255) for c in colour)] for colour in SAFE]
    assert safe[1] == pytest.approx(2 * safe[0], rel=0.1)
    assert safe[2] == pytest.approx(safe[0], rel=0.1)


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
    }
    for name, picture in pictures.items():
        assert picture.dtype == np.uint8
        assert picture.std() > 1, name
        save_png(tmp_path / f"{name}.png", picture)
        read = imread(tmp_path / f"{name}.png")[..., :3]
        np.testing.assert_allclose(read, picture / 255, atol=1 / 255)
    assert pictures["rebuilt"].shape[1] > pictures["one"].shape[1]
