"""Volumes come back as they were written, are whole or absent, and are known by their content."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from tests.volumes import SPACING, random_image, write
from vpbsd.data.volume_checks import VolumeMetadata
from vpbsd.data.volume_writer import write_volume
from vpbsd.data.volumes import VolumeInfo, list_volumes, open_volume, read_info
from vpbsd.errors import BadInput

ALL = np.s_[:, :, :]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", ">u2", "float32", "float64"])
def test_a_volume_comes_back(tmp_path, dtype):
    image = random_image(dtype=dtype)
    label = image > 200
    info = write(tmp_path, "mouse", image, label, channel="WGA")
    assert info == VolumeInfo(
        name="mouse",
        path=str(tmp_path / "mouse.ome.zarr"),
        group="g",
        channel="WGA",
        shape=(70, 30, 40),
        dtype=np.dtype(dtype).name,
        spacing_um=SPACING,
        labelled=True,
        label_voxels=int(label.sum()),
        fingerprint=info.fingerprint,
        content=info.content,
    )
    assert read_info(info.path) == info
    volume = open_volume(info)
    np.testing.assert_array_equal(volume.image_block(ALL), image)
    np.testing.assert_array_equal(volume.label_block(ALL), label)
    assert volume.label_block(ALL).dtype == np.uint8
    part = np.s_[60:70, 3:9, :]
    np.testing.assert_array_equal(volume.image_block(part), image[part])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("percentile", [95, 99.5])
def test_limits_are_the_minimum_and_numpys_percentile(tmp_path, dtype, percentile):
    image = random_image(dtype=dtype)
    limits = open_volume(write(tmp_path, image=image)).limits(percentile)
    exact = image.astype(np.float64)
    assert limits == (exact.min(), np.percentile(exact, percentile))


def test_a_clip_that_would_erase_a_volume_is_refused(tmp_path):
    """97 of 100 voxels are 0, so the 95th percentile is 0 too; the 98th is not."""
    image = np.zeros((1, 10, 10), np.uint8)
    image[0, 0, :3] = 50
    volume = open_volume(write(tmp_path, image=image))
    with pytest.raises(BadInput, match=r"volume a: percentile 95 .* clip at 98 or above"):
        volume.limits(95)
    assert volume.limits(98) == (0, pytest.approx(50))


def test_limits_of_a_constant_volume_meet(tmp_path):
    volume = open_volume(write(tmp_path, image=np.full((2, 3, 4), 9, np.uint8)))
    assert volume.limits(95) == (9, 9)


def test_without_label_and_spacing(tmp_path):
    info = write(tmp_path, spacing_um=None)
    assert (info.labelled, info.label_voxels, info.spacing_um) == (False, None, None)
    volume = open_volume(info)
    assert volume.label is None
    with pytest.raises(BadInput, match="volume a has no label"):
        volume.label_block(ALL)


def test_an_empty_label_is_known_without_reading_it(tmp_path):
    info = write(tmp_path, label=np.zeros((70, 30, 40), np.uint8))
    assert info.labelled
    assert info.label_voxels == 0


def test_metadata_is_ome_zarr(tmp_path):
    path = Path(write(tmp_path, label=random_image() > 200).path)
    about = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]
    scale = about["multiscales"][0]
    assert about["version"] == "0.5"
    assert [axis["name"] for axis in scale["axes"]] == ["z", "y", "x"]
    assert {axis["unit"] for axis in scale["axes"]} == {"micrometer"}
    transforms = [{"type": "scale", "scale": list(SPACING)}]
    assert scale["datasets"] == [{"path": "0", "coordinateTransformations": transforms}]
    labels = json.loads((path / "labels" / "zarr.json").read_text())["attributes"]["ome"]
    assert labels["labels"] == ["vessel"]
    image = zarr.open_array(path / "0", mode="r")
    assert image.chunks == (64, 30, 40)
    assert image.metadata.dimension_names == ("z", "y", "x")


def test_an_unknown_voxel_size_has_no_unit(tmp_path):
    path = Path(write(tmp_path, spacing_um=None).path)
    scale = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]
    assert not any("unit" in axis for axis in scale["axes"])


def test_the_fingerprint_ignores_name_place_channel_and_slabs(tmp_path):
    image, label = random_image(), random_image() > 200
    first = write(tmp_path / "one", "a", image, label)
    metadata = VolumeMetadata(image.shape, "uint16", (3, 1.625, 1.625), "g", "WGA")
    slabs = (image[z : z + 7] for z in range(0, 70, 7))
    second = write_volume(tmp_path / "two", "b", slabs, metadata, [label[:33], label[33:]])
    assert second.fingerprint == first.fingerprint


def test_the_fingerprint_ignores_byte_order(tmp_path):
    first = write(tmp_path, "a", random_image(dtype="<u2"))
    assert write(tmp_path, "b", random_image(dtype=">u2")).fingerprint == first.fingerprint


@pytest.mark.parametrize(
    "change",
    ["voxel", "label voxel", "no label", "spacing", "unknown spacing", "group", "dtype", "shape"],
)
def test_the_fingerprint_knows(tmp_path, change):
    image, label = random_image(), (random_image() > 200).astype(np.uint8)
    metadata = {"spacing_um": SPACING, "group": "g"}
    first = write(tmp_path, "a", image, label, **metadata)
    if change == "voxel":
        image[69, 29, 39] += 1
    elif change == "label voxel":
        label[0, 0, 0] ^= 1
    elif change == "no label":
        label = None
    elif change == "dtype":
        image = image.astype(np.int16)  # the same bytes
    elif change == "shape":
        image, label = image.reshape(70, 40, 30), label.reshape(70, 40, 30)
    else:
        metadata |= {"spacing": {"spacing_um": (3.0, 1.625, 1.6)}, "group": {"group": "h"}}.get(
            change, {"spacing_um": None}
        )
    assert write(tmp_path, "b", image, label, **metadata).fingerprint != first.fingerprint


def test_an_all_zero_label_is_not_no_label(tmp_path):
    """Annotated as empty and not annotated are two things."""
    zeros = np.zeros((70, 30, 40), np.uint8)
    assert write(tmp_path, "a", label=zeros).fingerprint != write(tmp_path, "b").fingerprint


def test_the_same_volume_again_is_left_alone(tmp_path):
    first = write(tmp_path, label=random_image() > 200)
    written = (Path(first.path) / "zarr.json").stat().st_mtime_ns
    assert write(tmp_path, label=random_image() > 200) == first
    assert (Path(first.path) / "zarr.json").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    "changed", [{"group": "h"}, {"channel": "WGA"}, {"image": random_image(seed=1)}]
)
def test_another_volume_of_the_same_name_is_refused(tmp_path, changed):
    first = write(tmp_path)
    with pytest.raises(BadInput, match=r"a\.ome\.zarr exists and differs"):
        write(tmp_path, **changed)
    assert list_volumes(tmp_path) == (first,)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
def test_an_interrupted_write_leaves_nothing(tmp_path, stop):
    first = write(tmp_path, "whole")

    def slabs():
        yield random_image()[:68]
        assert [p for p in tmp_path.iterdir() if p.name.startswith(".")]
        assert list_volumes(tmp_path) == (first,)
        raise stop

    with pytest.raises(stop):
        write_volume(tmp_path, "cut", slabs(), VolumeMetadata((70, 30, 40), "uint16", None, "g"))
    assert os.listdir(tmp_path) == ["whole.ome.zarr"]


def test_what_a_killed_write_leaves_is_not_listed(tmp_path):
    first = write(tmp_path)
    shutil.copytree(first.path, tmp_path / ".b.0a1b2c3d.partial")
    shutil.copytree(first.path, tmp_path / ".c.ome.zarr")
    assert list_volumes(tmp_path) == (first,)


def test_volumes_are_listed_by_name(tmp_path):
    for name in ("b", "c", "a"):
        write(tmp_path, name, group=name)
    assert [info.name for info in list_volumes(str(tmp_path))] == ["a", "b", "c"]


def test_listing_reads_no_voxels(tmp_path):
    info = write(tmp_path, label=random_image() > 200)
    for chunks in ("0/c", "labels/vessel/0/c", "intensity/c"):
        shutil.rmtree(Path(info.path) / chunks)
    assert list_volumes(tmp_path) == (info,)
