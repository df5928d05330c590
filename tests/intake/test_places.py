"""Headers of NIfTI that say two things, nothing, or what cannot be meant."""

import struct

import nibabel as nib
import numpy as np
import pytest

from tests.intake.files import ALL, IMAGE, LABEL, SPACING, only
from vpbsd.data.intake.importing import Rules, import_volumes
from vpbsd.data.intake.stack import Choice
from vpbsd.data.volumes import open_volume
from vpbsd.errors import BadInput

AFFINE = np.diag([0.994, 0.994, 5.0, 1.0])
MIRRORED = np.diag([-0.994, -0.994, 5.0, 1.0])
MIRRORED[:2, 3] = 29 * 0.994, 19 * 0.994


def placed(path, array, sform=AFFINE, qform=None):
    image = nib.Nifti1Image(np.ascontiguousarray(array.T), None)
    image.set_qform(qform, 0 if qform is None else 1)
    image.set_sform(sform, 1)
    image.header.set_xyzt_units("micron")
    if qform is None:
        image.header.set_zooms(SPACING[::-1])
    nib.save(image, path)
    return path


def patched(path, at, content):
    raw = bytearray(path.read_bytes())
    raw[at : at + len(content)] = content
    path.write_bytes(raw)
    return path


def test_two_places_that_agree_are_one(tmp_path):
    image = placed(tmp_path / "m.nii", IMAGE, AFFINE, MIRRORED)
    placed(tmp_path / "m_label.nii", LABEL, AFFINE, MIRRORED)
    read = open_volume(only([image], tmp_path / "data")).label_block(ALL)
    np.testing.assert_array_equal(read, LABEL)


@pytest.mark.parametrize("odd", ["image", "label"])
def test_two_places_that_disagree_are_not_chosen_between(tmp_path, odd):
    two = {"qform": MIRRORED}
    image = placed(tmp_path / "m.nii", IMAGE, **two if odd == "image" else {})
    placed(tmp_path / "m_label.nii", LABEL, **two if odd == "label" else {})
    with pytest.raises(BadInput, match=r"one of the places that it states \(qform and sform\)"):
        import_volumes([image], tmp_path / "data")
    assert only([image], tmp_path / "data", rules=Rules(ignore_grids=True)).labelled


def test_a_place_that_is_no_number_is_refused(tmp_path):
    image, nowhere = placed(tmp_path / "m.nii", IMAGE), AFFINE.copy()
    nowhere[0, 3] = np.nan
    placed(tmp_path / "m_label.nii", LABEL, nowhere)
    with pytest.raises(BadInput, match=r"m_label\.nii .* states a place that is no number"):
        import_volumes([image], tmp_path / "data")


def test_a_side_of_zero_is_no_voxel_size_and_a_negative_one_is_its_amount(tmp_path):
    for name, side, stated in (("zero", 0.0, None), ("less", -0.994, SPACING)):
        path = placed(tmp_path / f"{name}.nii", IMAGE)
        patched(path, 252, struct.pack("<hh", 0, 0))  # qform_code, sform_code
        patched(path, 80, struct.pack("<f", side))  # pixdim[1]
        info = only([path], tmp_path / name, spacing="unknown")
        assert info.spacing_um == stated
        np.testing.assert_array_equal(open_volume(info).image_block(ALL), IMAGE)


def test_a_unit_that_the_format_does_not_know_is_none(tmp_path):
    path = patched(placed(tmp_path / "m.nii", IMAGE), 123, bytes([7]))
    with pytest.raises(BadInput, match="volume m states no voxel size: pass --spacing"):
        import_volumes([path], tmp_path / "data")


@pytest.mark.parametrize("sides", [(0.005, 0.002, 0.002), (0.025, 0.025, 0.025)])
def test_millimetres_called_micrometres_are_not_taken(tmp_path, sides):
    path = placed(
        tmp_path / "m.nii", IMAGE, np.diag([*sides[::-1], 1]), np.diag([*sides[::-1], 1])
    )
    with pytest.raises(BadInput, match="its unit is not what it says"):
        import_volumes([path], tmp_path / "data")


def test_a_bit_that_flipped_in_a_packed_file_is_found(tmp_path):
    """Its checksum, which comes after the voxels, is read, too."""
    path = placed(tmp_path / "m.nii.gz", IMAGE)
    raw = bytearray(path.read_bytes())
    raw[-6] ^= 1
    path.write_bytes(raw)
    with pytest.raises(BadInput, match=r"m\.nii\.gz cannot be read: CRC"):
        import_volumes([path], tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_a_label_that_its_header_scales_to_one_is_one(tmp_path):
    image = placed(tmp_path / "m.nii", IMAGE)
    label = placed(tmp_path / "m_label.nii", LABEL * 255)
    patched(label, 112, struct.pack("<ff", 1 / 255, 0))  # scl_slope, scl_inter
    info = only([image], tmp_path / "data")
    np.testing.assert_array_equal(open_volume(info).label_block(ALL), LABEL)


def test_a_channel_that_is_not_there_is_refused(tmp_path):
    path = placed(tmp_path / "m.nii", IMAGE)
    with pytest.raises(BadInput, match=r"m\.nii has one of channels only: c=3 is none"):
        import_volumes([path], tmp_path / "data", rules=Rules(choice=Choice({"c": 3})))
