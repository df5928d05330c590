"""A label lies on its image's voxels, is turned exactly onto them, or is refused."""

import itertools

import nibabel as nib
import numpy as np
import pytest

from tests.intake.files import ALL, IMAGE, LABEL, SPACING, npz, only, tiff
from vpbsd.data.intake.importing import Rules, import_volumes
from vpbsd.data.volumes import open_volume
from vpbsd.errors import BadInput

AFFINE = np.diag([0.994, 0.994, 5.0, 1.0])


def placed(path, array, affine, code="scanner", unit="micron", zooms=True):
    """NIfTI of an array (z, y, x) with an affine from x, y, z."""
    image = nib.Nifti1Image(array.T, affine)
    image.header.set_xyzt_units(unit)
    image.set_sform(affine, code)
    image.set_qform(None if not code else affine, code) if zooms else None
    nib.save(image, path)
    return path


def moved(array, affine, order, flips):
    """The same tissue stored with other axes: array (z, y, x) and affine (x, y, z)."""
    image = nib.Nifti1Image(array.T, affine)
    turn = np.array([[axis, -1 if flip else 1] for axis, flip in zip(order, flips, strict=True)])
    turned = image.as_reoriented(turn)
    return np.asarray(turned.dataobj).T, turned.affine


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("order", list(itertools.permutations(range(3)))[::2])
@pytest.mark.parametrize("flips", [(0, 0, 0), (1, 1, 0), (0, 1, 1), (1, 0, 0)])
def test_a_label_stored_with_other_axes_comes_back_exactly(tmp_path, order, flips):
    """nibabel turns the label; what we read must be the label as drawn: Dice 1.000."""
    image = placed(tmp_path / "m.nii.gz", IMAGE, AFFINE)
    placed(tmp_path / "m_label.nii.gz", *moved(LABEL, AFFINE, order, flips))
    info = only([image], tmp_path / "data")
    read = open_volume(info).label_block(ALL)
    assert dice(read, LABEL) == 1.0


def test_the_image_is_kept_as_it_is_stored(tmp_path):
    array, affine = moved(IMAGE, AFFINE, (0, 1, 2), (1, 1, 0))
    info = only([placed(tmp_path / "m.nii", array, affine)], tmp_path / "data")
    np.testing.assert_array_equal(open_volume(info).image_block(ALL), array)


def shift(voxels):
    out = AFFINE.copy()
    out[0, 3] = voxels * 0.994
    return out


def rotated():
    c, s = np.cos(0.1), np.sin(0.1)
    return np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ AFFINE


@pytest.mark.parametrize(
    ("affine", "why"),
    [
        (shift(-1), r"begins \(0, 0, -1\) voxels away in z, y, x"),
        (shift(0.5), r"begins \(0, 0, 0.5\) voxels away"),
        (np.diag([0.994, 0.994, 2.5, 1]), r"has voxels 0.5 x 1 x 1 times as large"),
        (rotated(), "is rotated or sheared against it"),
    ],
)
def test_a_label_elsewhere_is_refused(tmp_path, affine, why):
    image = placed(tmp_path / "m.nii.gz", IMAGE, AFFINE)
    placed(tmp_path / "m_label.nii.gz", LABEL, affine)
    with pytest.raises(BadInput, match=rf"m_label\.nii\.gz does not lie on the voxels.*{why}"):
        import_volumes([image], tmp_path / "data")
    assert not (tmp_path / "data").exists()
    info = only([image], tmp_path / "data", rules=Rules(ignore_grids=True))
    np.testing.assert_array_equal(open_volume(info).label_block(ALL), LABEL)


def test_rounding_of_headers_is_no_difference(tmp_path):
    image = placed(tmp_path / "m.nii.gz", IMAGE, AFFINE)
    placed(tmp_path / "m_label.nii.gz", LABEL, AFFINE + 1e-6)
    assert only([image], tmp_path / "data").labelled


def test_headers_in_other_units_say_one_place(tmp_path):
    image = placed(tmp_path / "m.nii.gz", IMAGE, shift(3))
    thousandth = np.diag([1e-3, 1e-3, 1e-3, 1]) @ shift(3)
    placed(tmp_path / "m_label.nii.gz", LABEL, thousandth, unit="mm")
    assert only([image], tmp_path / "data").labelled


@pytest.mark.parametrize("unit", ["micron", "unknown"])
def test_a_label_is_turned_though_one_of_the_two_states_no_unit(tmp_path, unit):
    image = placed(tmp_path / "m.nii.gz", IMAGE, shift(3), unit=unit)
    other = "unknown" if unit == "micron" else "micron"
    turned, affine = moved(LABEL, shift(3), (0, 1, 2), (1, 0, 0))
    placed(tmp_path / "m_label.nii.gz", turned, affine, unit=other)
    info = only([image], tmp_path / "data", spacing="unknown")
    assert dice(open_volume(info).label_block(ALL), LABEL) == 1.0


def test_a_label_elsewhere_is_refused_though_it_states_no_unit(tmp_path):
    image = placed(tmp_path / "m.nii.gz", IMAGE, AFFINE)
    placed(tmp_path / "m_label.nii.gz", LABEL, shift(-1), unit="unknown")
    with pytest.raises(BadInput, match=r"begins \(0, 0, -1\) voxels away"):
        import_volumes([image], tmp_path / "data")


def test_a_label_without_a_place_is_taken_voxel_for_voxel(tmp_path):
    image = placed(tmp_path / "m.nii.gz", IMAGE, shift(7))
    tiff(tmp_path / "m_label.tif", LABEL)
    np.testing.assert_array_equal(
        open_volume(only([image], tmp_path / "data")).label_block(ALL), LABEL
    )


def test_voxel_sizes_of_files_without_a_place_are_compared(tmp_path):
    image = npz(tmp_path / "m.npz")
    npz(tmp_path / "m_label.npz", image=LABEL, spacing_zyx_um=np.array([2.5, 0.994, 0.994]))
    with pytest.raises(BadInput, match="has voxels of 2.5 x 0.994 x 0.994 um, the image of 5 x"):
        import_volumes([image], tmp_path / "data")


@pytest.mark.parametrize("trailing", [(), (1,), (1, 1)])
def test_trailing_axes_of_one_are_dropped(tmp_path, trailing):
    image = nib.Nifti1Image(IMAGE.T.reshape(30, 20, 7, *trailing), AFFINE)
    image.header.set_xyzt_units("micron")
    nib.save(image, tmp_path / "m.nii.gz")
    info = only([tmp_path / "m.nii.gz"], tmp_path / "data")
    assert (info.shape, info.spacing_um) == ((7, 20, 30), SPACING)
    np.testing.assert_array_equal(open_volume(info).image_block(ALL), IMAGE)


@pytest.mark.parametrize("slope", [np.nan, 0.0, 1.0, 2.0])
@pytest.mark.parametrize("inter", [0.0, 3.0])
def test_slopes_that_say_nothing_scale_nothing(tmp_path, slope, inter):
    """NaN and zero slopes mean stored values, whatever the intercept; others scale."""
    path = placed(tmp_path / "m.nii", IMAGE // 4, AFFINE)
    raw = bytearray(path.read_bytes())
    raw[112:120] = np.array([slope, inter], "<f4").tobytes()  # scl_slope, scl_inter
    path.write_bytes(raw)
    read = open_volume(only([path], tmp_path / "data")).image_block(ALL)
    says = slope in (1.0, 2.0)
    np.testing.assert_array_equal(read, (IMAGE // 4) * slope + inter if says else IMAGE // 4)


@pytest.mark.parametrize(
    ("spacing", "unit", "why"),
    [
        ((3.0, 1.6, 1.6), "mm", "3000 x 1600 x 1600 um, so 21 x 32 x 48 mm in all"),
        ((0.003, 0.0016, 0.0016), "meter", "3000 x 1600 x 1600 um"),
        ((5.0, 0.001, 0.001), "micron", "5 x 0.001 x 0.001 um"),
        ((150.0, 1.0, 1.0), "micron", "its sides are not in one unit"),
    ],
)
def test_a_voxel_size_that_cannot_be_meant_is_not_taken(tmp_path, spacing, unit, why):
    path = placed(tmp_path / "m.nii", IMAGE, np.diag([*spacing[::-1], 1]), unit=unit)
    with pytest.raises(BadInput, match=f"volume m states voxels of .*{why}.*pass --spacing Z Y X"):
        import_volumes([path], tmp_path / "data")
    assert only([path], tmp_path / "a", spacing=(3, 1.6, 1.6)).spacing_um == (3, 1.6, 1.6)
    assert only([path], tmp_path / "b", spacing="unknown").spacing_um is None


def test_two_voxel_sizes_in_one_header_are_not_chosen_between(tmp_path):
    path = placed(tmp_path / "m.nii", IMAGE, np.diag([0.5, 0.5, 2, 1]), zooms=False)
    raw = bytearray(path.read_bytes())
    raw[80:92] = np.array([0.994, 0.994, 5.0], "<f4").tobytes()  # pixdim[1:4]
    path.write_bytes(raw)
    with pytest.raises(BadInput, match="5 x 0.994 x 0.994 in one place and of 2 x 0.5 x 0.5 in"):
        import_volumes([path], tmp_path / "data")


def test_one_number_is_a_voxel_size_of_three_axes(tmp_path):
    info = only([npz(tmp_path / "a.npz", spacing_zyx_um=np.array(2.0))], tmp_path / "data")
    assert info.spacing_um == (2, 2, 2)
    two = npz(tmp_path / "b.npz", spacing_zyx_um=np.array([2.0, 1.0]))
    with pytest.raises(BadInput, match=r"b\.npz: its voxel size has 2 numbers"):
        import_volumes([two], tmp_path / "data")
