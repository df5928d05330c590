"""What segmenting refuses: foreign outputs, other settings, damage, other voxel sizes."""

import json
import shutil

import numpy as np
import pytest
import tifffile
import zarr

from tests.segment.conftest import content
from tests.students import DATA, PATCH
from vpbsd.config import Data, LightNet
from vpbsd.data.volume_writer import write_array
from vpbsd.data.volumes import open_volume
from vpbsd.errors import BadInput
from vpbsd.inference.model import SETTINGS, write_settings
from vpbsd.inference.segment import segment
from vpbsd.networks.build import NETWORK, WEIGHTS, build_network, load_network, save_network


def test_what_is_no_model_is_refused(volumes, tmp_path):
    with pytest.raises(BadInput, match=f"is no model folder \\({WEIGHTS} is missing\\)"):
        segment(tmp_path, volumes[0].path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_volume_is_refused(model, tmp_path):
    (tmp_path / "begun.ome.zarr").mkdir()
    with pytest.raises(BadInput, match="begun"):
        segment(model, tmp_path / "begun.ome.zarr", tmp_path / "out")


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
    before = content(out)
    with pytest.raises(BadInput, match="exists and is no mask of v1 by this model"):
        segment(model, volumes[1].path, out)
    assert content(out) == before


def test_other_settings_are_another_mask(model, volumes, tmp_path):
    segment(model, volumes[0].path, tmp_path / "out")
    other = tmp_path / "model"
    other.mkdir()
    save_network(other, load_network(model), LightNet())
    write_settings(other, Data(patch=PATCH))
    assert json.loads((other / SETTINGS).read_text())["clip_percentile"] == 95.0
    with pytest.raises(BadInput, match="is no mask of v0"):
        segment(other, volumes[0].path, tmp_path / "out")


def test_other_weights_are_another_mask(model, volumes, tmp_path):
    segment(model, volumes[0].path, tmp_path / "out")
    other = tmp_path / "model"
    shutil.copytree(model, other)
    save_network(other, build_network(LightNet(), 1), LightNet())
    with pytest.raises(BadInput, match="is no mask of v0"):
        segment(other, volumes[0].path, tmp_path / "out")
    with pytest.raises(BadInput, match="is no mask of v0"):
        segment(model, volumes[0].path, tmp_path / "out", statistics="window")


@pytest.mark.parametrize("name", [WEIGHTS, NETWORK, SETTINGS])
def test_a_damaged_model_is_one_line(name, model, volumes, tmp_path):
    other = tmp_path / "model"
    shutil.copytree(model, other)
    (other / name).write_bytes((other / name).read_bytes()[:-7])
    with pytest.raises(BadInput, match=f"{name}.* is damaged"):
        segment(other, volumes[0].path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_voxel_size_is_refused(model, volumes, tmp_path):
    other = tmp_path / "model"
    shutil.copytree(model, other)
    write_settings(other, DATA, volumes)
    segment(other, volumes[0].path, tmp_path / "out")
    image = open_volume(volumes[0]).image_block((slice(None),) * 3)
    coarse = write_array(tmp_path, "coarse", image, spacing_um=(6.0, 1.6, 1.6), group="a")
    words = "voxels of 6 x 1.6 x 1.6 um, but the model was trained.* pass --resample"
    with pytest.raises(BadInput, match=words):
        segment(other, coarse.path, tmp_path / "out2")
    assert not (tmp_path / "out2").exists()


def test_a_file_of_another_voxel_size_is_refused_before_it_is_converted(
    model, volumes, tmp_path, monkeypatch
):
    other = tmp_path / "model"
    shutil.copytree(model, other)
    write_settings(other, DATA, volumes)
    image = np.zeros((32, 64, 64), np.uint16)
    about = {"axes": "ZYX", "spacing": 6.0, "unit": "um"}
    tifffile.imwrite(tmp_path / "v.tif", image, imagej=True, resolution=(1, 1), metadata=about)
    monkeypatch.setattr("vpbsd.inference.source.write_volume", None)
    with pytest.raises(BadInput, match=r"volume v.tif has voxels of 6 x 1 x 1 um"):
        segment(other, tmp_path / "v.tif", tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "v.tif"]


def test_a_place_that_cannot_be_written_is_one_line(model, volumes, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadInput, match="cannot be written: Not a directory"):
        segment(model, volumes[0].path, tmp_path / "file" / "out")


@pytest.mark.parametrize("harm", ["lost", "cut", "flipped"])
def test_a_harmed_chunk_is_named(harm, model, volumes, tmp_path):
    copy = tmp_path / "v1.ome.zarr"
    shutil.copytree(volumes[1].path, copy)
    chunk = copy / "0" / "c" / "0" / "0" / "1"
    whole = bytearray(chunk.read_bytes())
    if harm == "lost":
        chunk.unlink()
    elif harm == "cut":
        chunk.write_bytes(whole[:-9])
    else:
        whole[len(whole) // 2] ^= 4
        chunk.write_bytes(whole)
    words = "is lost" if harm == "lost" else "is damaged"
    with pytest.raises(BadInput, match=f"{chunk} {words}.*import volume v1 again"):
        segment(model, copy, tmp_path / "out")


@pytest.mark.parametrize("name", ["missing.tif", "missing.ome.zarr"])
def test_what_is_not_there_is_said_so(name, model, tmp_path):
    with pytest.raises(BadInput, match=rf"there is no .*{name}: give the path"):
        segment(model, tmp_path / name, tmp_path / "out")
