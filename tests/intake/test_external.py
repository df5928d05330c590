"""Masks of other tools: the right one for each volume, on its voxels, or a line that says why."""

from pathlib import Path

import numpy as np
import pytest

from tests.intake.files import ALL, IMAGE, LABEL, npz
from tests.intake.test_grids import AFFINE, moved, placed, shift
from vpbsd.data.intake.external import _numbers, import_masks
from vpbsd.data.intake.importing import import_volumes
from vpbsd.data.intake.stack import Stack
from vpbsd.data.volumes import list_volumes, open_volume
from vpbsd.errors import BadInput


@pytest.fixture
def data(tmp_path):
    """Two labelled volumes of a channel each, from NIfTI with a place, and one without label."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("1_0000", "2_0000", "3_0000"):
        placed(source / f"{name}.nii.gz", IMAGE + int(name[0]), AFFINE)
        if name != "3_0000":
            placed(source / f"{name}_label.nii.gz", LABEL, AFFINE)
    import_volumes([source], tmp_path / "data")
    return list_volumes(tmp_path / "data")


@pytest.fixture
def given(tmp_path, data):
    """A folder for masks, and how to import it for the labelled volumes."""
    folder = tmp_path / "given"
    folder.mkdir()
    tested = [v.name for v in data if v.labelled]
    return folder, lambda name="tool": import_masks(name, folder, data, tested)


def read(mask):
    return open_volume(mask).image_block(ALL)


@pytest.mark.parametrize("names", [("1_0000", "2_0000"), ("1", "2"), ("1_0000_seg", "2_mask")])
def test_masks_are_matched_by_volume_or_case(given, names):
    """Each marks a plane of its own, so that none can be taken for the other."""
    folder, masks = given
    for z, name in enumerate(names):
        array = np.zeros_like(LABEL)
        array[z] = 255
        npz(folder / f"{name}.npz", image=array)
    one, two = masks()
    assert (one.name, two.name) == ("1_0000", "2_0000")
    assert [np.unique(np.nonzero(read(m))[0]).tolist() for m in (one, two)] == [[0], [1]]
    assert read(one).max() == 1


def test_a_mask_stored_with_other_axes_is_turned_as_labels_are(given):
    folder, masks = given
    for name in ("1", "2"):
        placed(folder / f"{name}.nii.gz", *moved(LABEL, AFFINE, (1, 0, 2), (0, 1, 1)))
    assert all((read(mask) == LABEL).all() for mask in masks())


def test_a_mask_of_another_place_is_refused(given):
    folder, masks = given
    for name in ("1", "2"):
        placed(folder / f"{name}.nii.gz", LABEL, shift(3))
    with pytest.raises(BadInput, match=r"1\.nii\.gz does not lie on the voxels of .*1_0000"):
        masks()
    assert not list(folder.parent.glob("data/external/*")), "nothing half-written is left"


def test_missing_and_strange_masks_are_one_line(given, capsys):
    folder, masks = given
    npz(folder / "1.npz", image=LABEL)
    npz(folder / "two.npz", image=LABEL)
    with pytest.raises(BadInput) as error:
        masks()
    assert str(error.value) == (
        "--external tool: 1 of 2 test volumes have no mask (2_0000); two.npz belong to no volume: "
        "name each mask as its volume is"
    )
    npz(folder / "2.npz", image=LABEL)
    npz(folder / "3.npz", image=LABEL)
    assert [m.name for m in masks()] == ["1_0000", "2_0000"], "3 is not tested"
    assert capsys.readouterr().err == "--external tool: two.npz belong to no volume\n"
    npz(folder / "2_0000.npz", image=LABEL)
    with pytest.raises(BadInput, match=r"2_0000 has several masks \(2.npz, 2_0000.npz\)"):
        masks()


@pytest.mark.parametrize("array", [IMAGE, LABEL * 0.5 + LABEL[::-1] * 0.25, -1.0 * LABEL])
def test_what_is_no_mask_is_refused(given, array):
    folder, masks = given
    for name in ("1", "2"):
        npz(folder / f"{name}.npz", image=array)
    with pytest.raises(BadInput, match="a mask holds 0 and one value, this one"):
        masks()


def test_a_class_too_many_is_seen_wherever_it_comes():
    array = np.zeros((2, 3, 3), np.uint8)
    array[0, 0], array[0, 1, :2] = (1, 2, 3), (4, 9)
    mask = Stack(Path("m.npz"), array.shape, array.dtype, None, lambda: iter(array))
    with pytest.raises(BadInput, match="a mask holds 0 and 1 to 4, this one 1, 2, 3, 4, 9"):
        list(_numbers(mask, 4))


def test_other_masks_of_one_name_lie_beside_the_first(given):
    folder, masks = given
    for name in ("1", "2"):
        npz(folder / f"{name}.npz", image=LABEL)
    first, again = masks(), masks()
    npz(folder / "2.npz", image=LABEL[::-1])
    second = masks()
    assert first == again
    assert (read(first[1]) == LABEL).all()
    assert (read(second[1]) == LABEL[::-1]).all()
    assert second[0].path != first[0].path
