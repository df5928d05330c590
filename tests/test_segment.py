"""Segmenting a volume goes on where it was stopped, and never writes over something else."""

import json
import shutil

import numpy as np
import pytest
import torch
import zarr

from vpbsd.config import Data, LightNet
from vpbsd.data.folds import whole_volume
from vpbsd.data.volumes import open_volume
from vpbsd.errors import BadInput
from vpbsd.inference import segment as segmenting
from vpbsd.inference.model import SETTINGS, load_model, write_settings
from vpbsd.inference.segment import segment
from vpbsd.inference.sliding_window import predict_block, predict_part
from vpbsd.networks.build import WEIGHTS, build_network, load_network, save_network

PATCH = (32, 32, 64)
DATA = Data(patch=PATCH, clip_percentile=99.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A student whose head is of two minds about every volume."""
    folder = tmp_path_factory.mktemp("model")
    network = build_network(LightNet(), 0)
    with torch.no_grad():
        network.head.weight.mul_(20)
    save_network(folder, network, LightNet())
    write_settings(folder, DATA)
    return folder


@pytest.fixture
def calls(monkeypatch):
    """Blocks of 32 voxels, and a list of those that were computed."""
    found = []

    def counted(network, read, shape, patch, block):
        found.append(block)
        return predict_block(network, read, shape, patch, block)

    monkeypatch.setattr(segmenting, "SIDE", 32)
    monkeypatch.setattr(segmenting, "predict_block", counted)
    return found


def test_a_segmentation_is_the_prediction_in_memory(model, volumes, tmp_path, calls):
    info = volumes[1]  # (20, 64, 70): blocks of 1 x 2 x 3
    segment(model, info.path, tmp_path / "out")
    assert len(calls) == 6
    mask = zarr.open_array(tmp_path / "out" / "0", mode="r")
    wanted = predict_part(load_network(model), whole_volume(info), DATA, "fp32") > 0.5
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask[:], wanted)
    assert 0.01 < wanted.mean() < 0.99


def test_a_mask_is_an_image_of_its_own(model, volumes, tmp_path, calls):
    info = volumes[0]
    segment(model, info.path, tmp_path / "out")
    (level,) = zarr.open_group(tmp_path / "out", mode="r").attrs["ome"]["multiscales"]
    assert level["name"] == info.name
    assert [axis["name"] for axis in level["axes"]] == ["z", "y", "x"]
    assert {axis["unit"] for axis in level["axes"]} == {"micrometer"}
    (dataset,) = level["datasets"]
    assert dataset["coordinateTransformations"] == [{"type": "scale", "scale": [*info.spacing_um]}]


@pytest.mark.parametrize("stop", [0, 1, 4])
def test_a_stopped_run_goes_on(stop, model, volumes, tmp_path, calls, monkeypatch, capsys):
    info, out = volumes[1], tmp_path / "out"
    counted = segmenting.predict_block

    def killed(*args):
        if len(calls) == stop:
            raise KeyboardInterrupt
        return counted(*args)

    monkeypatch.setattr(segmenting, "predict_block", killed)
    with pytest.raises(KeyboardInterrupt):
        segment(model, info.path, out)
    before = list(calls)
    monkeypatch.setattr(segmenting, "predict_block", counted)
    segment(model, info.path, out)
    assert len(calls) == 6
    assert not any(block in before for block in calls[stop:])
    wanted = predict_part(load_network(model), whole_volume(info), DATA, "fp32") > 0.5
    np.testing.assert_array_equal(zarr.open_array(out / "0", mode="r")[:], wanted)
    segment(model, info.path, out)
    assert len(calls) == 6  # nothing is left to do
    assert f"vessels of {info.name} are in {out}" in capsys.readouterr().err


@pytest.mark.parametrize("missing", [["done"], ["0", "done"]])
def test_a_run_stopped_at_its_very_start_goes_on(missing, model, volumes, tmp_path, calls):
    """Killed before all that is in the mask was made."""
    info, out = volumes[1], tmp_path / "out"
    segment(model, info.path, out)
    for name in missing:
        shutil.rmtree(out / name)
    segment(model, info.path, out)
    assert len(calls) == 12
    wanted = predict_part(load_network(model), whole_volume(info), DATA, "fp32") > 0.5
    np.testing.assert_array_equal(zarr.open_array(out / "0", mode="r")[:], wanted)


def test_what_is_no_model_is_refused(volumes, tmp_path):
    with pytest.raises(BadInput, match=f"is no model folder \\({WEIGHTS} is missing\\)"):
        segment(tmp_path, volumes[0].path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_volume_is_refused(model, tmp_path):
    with pytest.raises(BadInput, match="is not a whole volume"):
        segment(model, tmp_path / "nothing", tmp_path / "out")


def _folder(out, volumes, model):
    out.mkdir()
    (out / "thesis.txt").write_text("all of it")


def _file(out, volumes, model):
    out.write_text("all of it")


def _mask_of_another(out, volumes, model):
    segment(model, volumes[0].path, out)


def _other_group(out, volumes, model):
    zarr.create_group(out)


@pytest.mark.parametrize("make", [_folder, _file, _mask_of_another, _other_group])
def test_a_foreign_out_is_left_alone(make, model, volumes, tmp_path):
    out = tmp_path / "out"
    make(out, volumes, model)
    before = _content(out)
    with pytest.raises(BadInput, match="exists and is no mask of v1: choose another name"):
        segment(model, volumes[1].path, out)
    assert _content(out) == before


def test_other_settings_are_another_mask(model, volumes, tmp_path):
    segment(model, volumes[0].path, tmp_path / "out")
    other = tmp_path / "model"
    other.mkdir()
    save_network(other, load_network(model), LightNet())
    write_settings(other, Data(patch=PATCH))
    assert json.loads((other / SETTINGS).read_text())["clip_percentile"] == 95.0
    with pytest.raises(BadInput, match="is no mask of v0"):
        segment(other, volumes[0].path, tmp_path / "out")


def _content(path):
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {str(p): p.read_bytes() for p in files}


def test_a_loaded_model_predicts_in_memory_what_a_training_would_see(model, volumes):
    info = volumes[1]
    image = open_volume(info).image_block((slice(None),) * 3)
    mask = load_model(model).predict(image)
    wanted = predict_part(load_network(model), whole_volume(info), DATA, "fp32") > 0.5
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, wanted)


def test_a_volume_in_memory_has_three_axes(model):
    with pytest.raises(BadInput, match="the axes z, y, x, but this one has 4 axes"):
        load_model(model).predict(np.zeros((1, 8, 8, 8)))
