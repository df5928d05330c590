"""Segmenting a volume goes on where it was stopped, and never writes over something else."""

import shutil

import nibabel as nib
import numpy as np
import pytest
import tifffile
import zarr

from tests.segment.conftest import mask_in
from vpbsd.data.volume_writer import write_array
from vpbsd.data.volumes import open_volume
from vpbsd.errors import BadInput
from vpbsd.inference.mask import MaskFile, alone
from vpbsd.inference.model import load_model
from vpbsd.inference.segment import segment


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
