"""A volume that cannot be written or read is refused by name."""

import os
import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest
import zarr

from tests.volumes import random_image, write
from vpbsd.data.volume_checks import VolumeMetadata
from vpbsd.data.volume_writer import write_volume
from vpbsd.data.volumes import list_volumes, open_volume
from vpbsd.errors import BadInput

ALL = np.s_[:, :, :]


def test_slabs_are_drawn_one_by_one_and_let_go(tmp_path):
    """At no time do more than two slabs of either stream live (the one in use and the next)."""
    alive, most = {"image": set(), "label": set()}, {"image": 0, "label": 0}

    def slabs(kind, dtype):
        for z in range(0, 150, 3):
            slab = np.full((3, 20, 10), z % 2, dtype)
            alive[kind].add(z)
            weakref.finalize(slab, alive[kind].discard, z)
            most[kind] = max(most[kind], len(alive[kind]))
            yield slab

    metadata = VolumeMetadata((150, 20, 10), "uint8", None, "g")
    write_volume(tmp_path, "a", slabs("image", np.uint8), metadata, slabs("label", np.uint8))
    assert max(most.values()) <= 2


def test_a_slab_of_another_type_is_not_cut_down(tmp_path):
    metadata = VolumeMetadata((2, 3, 4), "uint8", None, "g")
    with pytest.raises(TypeError):
        write_volume(tmp_path, "a", [np.full((2, 3, 4), 300, np.uint16)], metadata)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_voxel_that_is_not_finite_is_named(tmp_path, dtype, bad):
    image = random_image(dtype=dtype)
    image[65, 2, 3] = image[66, 0, 0] = bad
    with pytest.raises(BadInput, match=rf"volume a: its image holds {bad} .* z=65, y=2, x=3"):
        write(tmp_path, image=image)
    assert os.listdir(tmp_path) == []


def test_a_nan_in_a_label_is_refused(tmp_path):
    label = np.zeros((70, 30, 40), np.float32)
    label[1, 1, 1] = np.nan
    metadata = VolumeMetadata(label.shape, "uint16", None, "g")
    with pytest.raises(BadInput, match="its label holds nan first at z=1, y=1, x=1"):
        write_volume(tmp_path, "a", [random_image()], metadata, [label], label_above=0)


@pytest.mark.parametrize("shape", [(69, 30, 40), (71, 30, 40), (70, 40, 30)])
def test_a_label_of_another_shape_is_refused(tmp_path, shape):
    with pytest.raises(BadInput, match=r"volume a: its label has .* instead of 70 x 30 x 40"):
        write(tmp_path, label=np.zeros(shape, np.uint8))
    assert os.listdir(tmp_path) == []


def test_a_label_that_is_not_binary_names_its_values_and_the_remedy(tmp_path):
    label = np.zeros((70, 30, 40), np.uint8)
    label[4, :2] = [[95], [255]]
    with pytest.raises(BadInput, match=r"slice z=4 .* 0, 95, 255: pass --label-above 0"):
        write(tmp_path, label=label)


@pytest.mark.parametrize(("above", "vessel"), [(0, 3), (95, 1), (94.5, 3), (255, 0)])
def test_label_above_binarises(tmp_path, above, vessel):
    image, label = random_image((1, 1, 4)), np.array([[[0, 95, 95, 255]]], np.uint8)
    metadata = VolumeMetadata(image.shape, "uint16", None, "g")
    info = write_volume(tmp_path, "a", [image], metadata, [label], label_above=above)
    assert info.label_voxels == vessel
    np.testing.assert_array_equal(open_volume(info).label_block(ALL), label > above)


@pytest.mark.parametrize("dtype", ["bool", "complex64"])
def test_a_type_that_is_no_image_is_refused(tmp_path, dtype):
    with pytest.raises(BadInput, match=f"volume a of type {dtype}"):
        write(tmp_path, image=np.ones((2, 3, 4), dtype))


def test_an_empty_volume_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"shape \(0, 3, 4\) cannot be used"):
        write(tmp_path, image=np.ones((0, 3, 4), np.uint8))


@pytest.mark.parametrize("spacing", [(0, 1, 1), (1, -1, 1), (1, 1, np.nan), (np.inf, 1, 1)])
def test_a_voxel_size_that_is_not_positive_is_refused(tmp_path, spacing):
    with pytest.raises(BadInput, match="volume a: voxel size .* is not positive"):
        write(tmp_path, spacing_um=spacing)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"data folder .*/nowhere does not exist"):
        list_volumes(tmp_path / "nowhere")


def test_an_empty_folder_names_the_command(tmp_path):
    with pytest.raises(BadInput, match=r"holds no volumes: .* -m vpbsd import SRC\.\.\. "):
        list_volumes(tmp_path)


@pytest.mark.parametrize("lost", ["zarr.json", "0/zarr.json", "labels/vessel/0/zarr.json"])
def test_a_volume_that_lost_a_part_is_named(tmp_path, lost):
    info = write(tmp_path, label=random_image() > 200)
    (Path(info.path) / lost).unlink()
    with pytest.raises(BadInput, match=r"a\.ome\.zarr is not a whole volume"):
        list_volumes(tmp_path)


def test_a_foreign_volume_is_named(tmp_path):
    info = write(tmp_path)
    del zarr.open_group(info.path, mode="a").attrs["vpbsd"]
    with pytest.raises(BadInput, match=r"a\.ome\.zarr is not a whole volume that vpbsd wrote"):
        list_volumes(tmp_path)


def test_a_file_in_the_place_of_a_volume_is_named(tmp_path):
    (tmp_path / "a.ome.zarr").write_text("")
    with pytest.raises(BadInput, match=r"a\.ome\.zarr is not a whole volume"):
        list_volumes(tmp_path)


def test_a_volume_that_changed_since_it_was_listed_is_refused(tmp_path):
    info = write(tmp_path)
    shutil.rmtree(info.path)
    write(tmp_path, group="other")
    with pytest.raises(BadInput, match="has changed since it was listed"):
        open_volume(info)


def test_a_volume_that_is_not_on_this_node_is_named(tmp_path):
    info = write(tmp_path)
    shutil.rmtree(info.path)
    with pytest.raises(BadInput, match=f"{info.path} is not on node .* same path"):
        open_volume(info)
