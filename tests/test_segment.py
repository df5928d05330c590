"""Segmenting a volume goes on where it was stopped, and never writes over something else."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import tifffile
import torch
import zarr

from vpbsd.config import Data, LightNet
from vpbsd.data.volume_writer import write_array
from vpbsd.data.volumes import open_volume
from vpbsd.errors import BadInput
from vpbsd.inference import segment as segmenting
from vpbsd.inference.mask import MaskFile, alone
from vpbsd.inference.model import SETTINGS, load_model, write_settings
from vpbsd.inference.segment import segment
from vpbsd.inference.tiling import Tiling
from vpbsd.networks.build import NETWORK, WEIGHTS, build_network, load_network, save_network

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
    """Blocks of 32 voxels, and a list of those that were finished."""
    found, commit = [], MaskFile.commit

    def counted(self, block, checksum):
        found.append(block)
        commit(self, block, checksum)

    monkeypatch.setattr(segmenting, "TILING", Tiling(64, 32))
    monkeypatch.setattr(MaskFile, "commit", counted)
    return found


@pytest.fixture(scope="module")
def wanted(model, volumes):
    """The mask of the second volume, in memory."""
    image = open_volume(volumes[1]).image_block((slice(None),) * 3)
    mask = load_model(model).predict(image)
    assert 0.01 < mask.mean() < 0.99
    return mask


def mask_in(out):
    return zarr.open_array(out / "0", mode="r")[:]


def test_a_segmentation_is_the_prediction_in_memory(model, volumes, wanted, tmp_path, calls):
    info = volumes[1]  # (20, 64, 70): blocks of 1 x 2 x 3
    segment(model, info.path, tmp_path / "out")
    assert len(calls) == 6
    mask = mask_in(tmp_path / "out")
    assert mask.dtype == np.uint8
    assert np.mean(mask != wanted) < 1e-4  # other tiles round otherwise, where p is one half


def test_a_mask_is_an_image_of_its_own(model, volumes, tmp_path, calls):
    info = volumes[0]
    segment(model, info.path, tmp_path / "out")
    ome = zarr.open_group(tmp_path / "out", mode="r").attrs["ome"]
    (level,) = ome["multiscales"]
    assert "image-label" in ome
    assert level["name"] == info.name
    assert [axis["name"] for axis in level["axes"]] == ["z", "y", "x"]
    assert {axis["unit"] for axis in level["axes"]} == {"micrometer"}
    (dataset,) = level["datasets"]
    assert dataset["coordinateTransformations"] == [{"type": "scale", "scale": [*info.spacing_um]}]


@pytest.mark.parametrize("stop", [0, 1, 4])
def test_a_stopped_run_goes_on(stop, model, volumes, tmp_path, calls, monkeypatch, capsys):
    info, out = volumes[1], tmp_path / "out"
    counted = MaskFile.commit

    def killed(*args):
        if len(calls) == stop:
            raise KeyboardInterrupt
        counted(*args)

    monkeypatch.setattr(MaskFile, "commit", killed)
    with pytest.raises(KeyboardInterrupt):
        segment(model, info.path, out)
    before = list(calls)
    monkeypatch.setattr(MaskFile, "commit", counted)
    segment(model, info.path, out)
    assert len(calls) == 6
    assert not any(block in before for block in calls[stop:])
    segment(model, info.path, tmp_path / "again")
    np.testing.assert_array_equal(mask_in(out), mask_in(tmp_path / "again"))
    segment(model, info.path, out)
    assert len(calls) == 12  # nothing is left to do
    assert f"the mask of {info.name} is in {out}" in capsys.readouterr().err


@pytest.mark.parametrize("lost", ["done", "0", "0/c/0/0/1"])
def test_what_was_lost_of_a_mask_is_computed_again(lost, model, volumes, tmp_path, calls):
    info, out = volumes[1], tmp_path / "out"
    segment(model, info.path, out)
    before = mask_in(out)
    path = out / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert before[..., 32:64].any()
    segment(model, info.path, out)
    assert len(calls) == (7 if lost[-1] == "1" else 12)
    np.testing.assert_array_equal(mask_in(out), before)


def test_two_at_once_are_one_too_many(model, volumes, tmp_path):
    with alone(tmp_path / "out"), pytest.raises(BadInput, match="written by another run"):
        segment(model, volumes[0].path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_probabilities_are_kept_beside_the_mask(model, volumes, wanted, tmp_path):
    segment(model, volumes[1].path, tmp_path / "out", probability=True)
    kept = zarr.open_array(tmp_path / "out" / "probability" / "0", mode="r")[:]
    assert kept.dtype == np.uint8
    mask = mask_in(tmp_path / "out")
    assert (kept[mask == 1] >= 127).all()
    assert (kept[mask == 0] <= 128).all()


def test_uncertainty_is_the_entropy_of_the_probability(model, volumes, tmp_path):
    segment(model, volumes[1].path, tmp_path / "out", probability=True, uncertainty=True)
    p, found = (
        zarr.open_array(tmp_path / "out" / name / "0", mode="r")[:].astype(float)
        for name in ("probability", "uncertainty")
    )
    p = np.clip(p / 255, 1e-9, 1 - 1e-9)
    wanted = -255 * (p * np.log2(p) + (1 - p) * np.log2(1 - p))
    sure = np.abs(p - 0.5) < 0.4  # farther out a step of p is many of the entropy
    assert sure.any()
    assert np.abs(found - wanted)[sure].max() < 4
    assert found[p > 0.499].max() >= 254


def test_what_is_written_is_ome_zarr(model, volumes, tmp_path):
    """Validated by what others read it with; it wants an older pydantic, but runs with ours."""
    why = "pip install --no-deps ome-zarr-models pydantic-zarr"
    models = pytest.importorskip("ome_zarr_models.v05", reason=why)
    out, info = tmp_path / "out.ome.zarr", volumes[0]
    segment(model, info.path, out, probability=True, uncertainty=True)
    for kind, path in (
        (models.ImageLabel, out),
        (models.Image, out),
        (models.Image, out / "probability"),
        (models.Image, out / "uncertainty"),
        (models.Image, info.path),
        (models.Labels, f"{info.path}/labels"),
        (models.ImageLabel, f"{info.path}/labels/vessel"),
    ):
        kind.from_zarr(zarr.open_group(path, mode="r"))
    (image,) = models.ImageLabel.from_zarr(
        zarr.open_group(out, mode="r")
    ).ome_attributes.multiscales
    assert [axis.unit for axis in image.axes] == ["micrometer"] * 3


def test_a_mask_that_was_begun_without_probabilities_is_another(model, volumes, tmp_path):
    """Its finished blocks have none."""
    segment(model, volumes[1].path, tmp_path / "out")
    with pytest.raises(BadInput, match="is no mask of .* by this model and these settings"):
        segment(model, volumes[1].path, tmp_path / "out", probability=True)


def test_a_file_that_holds_a_mask_alone_keeps_no_probabilities(model, volumes, tmp_path):
    with pytest.raises(BadInput, match=r"holds the mask alone: give an output that ends with"):
        segment(model, volumes[1].path, tmp_path / "out.tif", probability=True)


def test_a_label_beside_a_file_is_not_looked_at(model, volumes, wanted, tmp_path):
    """Of any values, on any grid: nothing is learned here."""
    image = open_volume(volumes[1]).image_block((slice(None),) * 3)
    tifffile.imwrite(tmp_path / "v.tif", image)
    np.savez(tmp_path / "v_label.npz", image=np.full((6, 7, 8), 255, np.uint8))
    segment(model, tmp_path / "v.tif", tmp_path / "out")
    assert np.mean(mask_in(tmp_path / "out") != wanted) < 1e-4


@pytest.mark.parametrize("statistics", ["volume", "window"])
def test_blocks_beside_tissue_are_finished_too(statistics, model, volumes, tmp_path, calls):
    """Tissue in a corner: blocks near it hold none, and are written as background."""
    tissue = open_volume(volumes[0]).image_block((slice(None),) * 3)
    image = np.zeros((64, 96, 128), np.uint16)
    image[:32, :64, :64] = tissue
    info = write_array(tmp_path, "v", image, spacing_um=None, group="g")
    segment(model, info.path, tmp_path / "out", statistics=statistics)
    done = zarr.open_array(tmp_path / "out" / "done", mode="r")[:]
    assert done.all()
    assert len(calls) == done.size


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
    with pytest.raises(BadInput, match="exists and is no mask of v1 by this model"):
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


@pytest.mark.parametrize("value", [0, 700])
def test_a_constant_volume_has_no_vessels(value, model, tmp_path, capsys):
    image = np.full((40, 64, 70), value, np.uint16)
    info = write_array(tmp_path, "flat", image, spacing_um=None, group="a")
    segment(model, info.path, tmp_path / "out")
    assert not mask_in(tmp_path / "out").any()
    assert f"all voxels of flat are {value}" in capsys.readouterr().err


def test_coarser_levels_keep_every_vessel(tmp_path, volumes, monkeypatch):
    monkeypatch.setattr("vpbsd.inference.mask.SMALLEST", 20)
    file = MaskFile(tmp_path / "out", volumes[1], {}, 64)
    probability = np.zeros((20, 64, 64), np.float32)
    probability[7, 11, 30] = 1
    file.write(np.s_[0:20, 0:64, 0:64], probability)
    file.write_levels()
    (image,) = zarr.open_group(tmp_path / "out", mode="r").attrs["ome"]["multiscales"]
    assert [d["path"] for d in image["datasets"]] == ["0", "1", "2"]
    first, moved = image["datasets"][2]["coordinateTransformations"]
    assert first["scale"] == [4 * s for s in volumes[1].spacing_um]
    assert moved["translation"] == [1.5 * s for s in volumes[1].spacing_um]
    coarse = zarr.open_array(tmp_path / "out" / "2", mode="r")[:]
    assert np.argwhere(coarse).tolist() == [[1, 2, 7]]
    assert coarse.shape == (5, 16, 18)


def _content(path):
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {str(p): p.read_bytes() for p in files}


def test_a_volume_in_memory_has_three_axes(model):
    with pytest.raises(BadInput, match="the axes z, y, x, but this one has 4 axes"):
        load_model(model).predict(np.zeros((1, 8, 8, 8)))


def test_input_and_output_as_they_come(model, volumes, wanted, tmp_path):
    """A TIFF stack in, NIfTI out; a foreign OME-Zarr of version 0.4 in, TIFF out."""
    info = volumes[1]
    image = open_volume(info).image_block((slice(None),) * 3)
    z, y, x = info.spacing_um
    stack = tmp_path / "v.tif"
    about = {"axes": "ZYX", "spacing": z, "unit": "um"}
    tifffile.imwrite(stack, image, imagej=True, resolution=(1 / x, 1 / y), metadata=about)
    segment(model, stack, tmp_path / "out.nii.gz")
    found = nib.load(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(np.asarray(found.dataobj).T, wanted)
    assert (found.header["sform_code"], found.header["qform_code"]) == (0, 0), "no place is known"
    np.testing.assert_allclose(found.header.get_zooms(), [x / 1000, y / 1000, z / 1000], rtol=1e-4)
    group = zarr.create_group(tmp_path / "foreign.zarr", zarr_format=2)
    group.create_array("s0", data=image[None, None], chunks=(1, 1, 8, 32, 32))
    axes = [{"name": n, "type": "space", "unit": "millimeter"} for n in "zyx"]
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}, *axes]
    scale = {"type": "scale", "scale": [1, 1, z / 1000, y / 1000, x / 1000]}
    level = {"path": "s0", "coordinateTransformations": [scale]}
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [level]}]
    segment(model, tmp_path / "foreign.zarr", tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        np.testing.assert_array_equal(file.asarray(), wanted)
        assert file.imagej_metadata["spacing"] == pytest.approx(z)
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == ["foreign.zarr", "out.nii.gz", "out.tif", "v.tif"]
