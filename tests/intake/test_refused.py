"""What cannot be imported is named with its remedy, before anything is written."""

import os

import numpy as np
import pytest
import tifffile

from tests.intake.files import (
    IMAGE,
    LABEL,
    nifti,
    npz,
    run,
    slices,
    table,
    tiff,
)
from vpbsd.data.intake.importing import import_volumes
from vpbsd.data.intake.table import read_table
from vpbsd.data.volumes import list_volumes
from vpbsd.errors import BadInput


def test_two_labels_beside_an_image_are_refused(tmp_path):
    image = nifti(tmp_path / "a.nii")
    nifti(tmp_path / "a_label.nii", LABEL)
    tiff(tmp_path / "a_label.tif", LABEL)
    with pytest.raises(BadInput, match=r"several labels \(a_label\.nii, a_label\.tif\)"):
        import_volumes([image], tmp_path / "data")


@pytest.mark.parametrize(
    ("names", "pair"),
    [
        (["z1", "z2", "z4", "z5"], r"z2\.tif and z4\.tif"),
        (["z1_c0", "z1_c1", "z2_c0", "z2_c1"], r"z1_c0\.tif and z1_c1\.tif"),
    ],
)
def test_missing_slices_and_mixed_channels_are_refused(tmp_path, names, pair):
    for name in names:
        tifffile.imwrite(tmp_path / f"{name}.tif", IMAGE[0])
    with pytest.raises(BadInput, match=f"slices .*{pair} do not follow one another"):
        import_volumes([tmp_path], tmp_path / "data", spacing="unknown")


def test_a_slice_unlike_the_first_is_named(tmp_path):
    folder = slices(tmp_path / "s")
    tifffile.imwrite(folder / "brain_z4.tif", IMAGE[0, :, :29])
    with pytest.raises(BadInput, match=r"brain_z4\.tif is \(20, 29\) uint16: all slices"):
        import_volumes([folder], tmp_path / "data", spacing="unknown")


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([("a.npz",)], ("name",), "has the columns name: use file and any of group"),
        ([("g", "A")], ("group", "channel"), "has the columns group, channel: use file"),
        ([("a.npz", "g")], ("file", "grp"), "has the columns file, grp: use file"),
        ([("b.npz",)], ("file",), r"line 2: file .*/b\.npz does not exist"),
        ([("a.npz",), ("./a.npz",)], ("file",), r"line 3: file .*/a\.npz is there twice"),
        ([("",)], ("file",), "line 2: file .* does not exist"),
        ([("a.npz", "5 1")], ("file", "spacing"), "voxel size '5 1' is not understood"),
        ([("a.npz", "no.tif")], ("file", "label"), r"label .*/no\.tif of .* does not exist"),
    ],
)
def test_a_table_that_cannot_be_used(tmp_path, rows, columns, message):
    source = npz(tmp_path / "a.npz")
    with pytest.raises(BadInput, match=message):
        import_volumes([source], tmp_path / "data", table=table(tmp_path, rows or [[]], columns))


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(BadInput, match=r"t\.csv cannot be read"):
        read_table(tmp_path / "t.csv")


RGB = np.zeros((5, 20, 30, 3), np.uint8)


REFUSED = {
    "nothing there": (lambda p: p / "a.npz", "does not exist"),
    "unknown format": (lambda p: (p / "a.czi").write_text("") or p / "a.czi", "no known format"),
    "empty folder": (lambda p: (p / "a").mkdir() or p / "a", "holds nothing to import"),
    "npz without image": (
        lambda p: np.savez(p / "a.npz", x=IMAGE, y=IMAGE) or p / "a.npz",
        "holds x, y, but no image",
    ),
    "npz CZYX": (lambda p: npz(p / "a.npz", image=RGB), "three axes per channel"),
    "npz that is none": (
        lambda p: (p / "a.npz").write_text("x") and p / "a.npz",
        "cannot be read",
    ),
    "npz of complex": (lambda p: npz(p / "a.npz", image=IMAGE * 1j), "type complex128"),
    "npz label shape": (
        lambda p: npz(p / "a.npz", label=LABEL[1:]),
        r"label has shape \(6, 20, 30\), but the image",
    ),
    "nifti CZYX": (
        lambda p: nifti(p / "a.nii", RGB, (1, 1, 1, 1)),
        "has 5 time points .* by --take t=0 to t=4",
    ),
    "nifti that is none": (
        lambda p: (p / "a.nii").write_text("x") and p / "a.nii",
        "cannot be read",
    ),
    "nifti RGB": (
        lambda p: nifti(p / "a.nii", np.zeros((3, 4, 5), [(c, "u1") for c in "RGB"])),
        "volume a of type void24",
    ),
    "tiff that is none": (
        lambda p: (p / "a.tif").write_text("x") and p / "a.tif",
        "cannot be read",
    ),
    "tiff RGB": (
        lambda p: tiff(p / "a.tif", RGB, photometric="rgb"),
        "axes zyxc.* --take c=0 to c=2",
    ),
    "tiff ZCYX": (
        lambda p: tiff(p / "a.tif", RGB.transpose(0, 3, 1, 2), imagej=True),
        "has 3 channels .* --take c=0 to c=2",
    ),
    "tiff 2-D": (lambda p: tiff(p / "a.tif", IMAGE[0]), "give the folder that holds the slices"),
    "RGB slices": (
        lambda p: (p / "s").mkdir() or tiff(p / "s" / "a.tif", RGB[0]).parent,
        "axes yxc .* one grey stack",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_imported_says_why(tmp_path, kind):
    write, message = REFUSED[kind]
    source = write(tmp_path)
    with pytest.raises(BadInput, match=message) as refused:
        import_volumes([source], tmp_path / "data", spacing="unknown")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "data").exists()


def test_a_bad_source_is_found_before_the_first_is_written(tmp_path):
    sources = [npz(tmp_path / "a.npz"), npz(tmp_path / "b.npz", label=LABEL[1:])]
    with pytest.raises(BadInput, match=r"b\.npz: its label has shape"):
        import_volumes(sources, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_two_sources_of_one_name_are_refused(tmp_path):
    sources = [npz(tmp_path / "a.npz"), nifti(tmp_path / "a.nii")]
    with pytest.raises(BadInput, match="2 sources are named a"):
        import_volumes(sources, tmp_path / "data")


def test_nan_names_the_file_and_the_place(tmp_path):
    image = IMAGE.astype(np.float32)
    image[2, 3, 4] = np.nan
    with pytest.raises(BadInput, match=r"a\.npz: .* its image holds nan first at z=2, y=3, x=4"):
        import_volumes([npz(tmp_path / "a.npz", image=image)], tmp_path / "data")
    assert os.listdir(tmp_path / "data") == []


def test_a_damaged_file_leaves_the_whole_volumes_and_nothing_else(tmp_path):
    bad = nifti(tmp_path / "b.nii.gz", np.resize(IMAGE, (40, 200, 300)))
    content = bad.read_bytes()
    bad.write_bytes(content[: len(content) // 2])
    with pytest.raises(BadInput, match=r"b\.nii\.gz cannot be read"):
        import_volumes([npz(tmp_path / "a.npz"), bad], tmp_path / "data")
    assert os.listdir(tmp_path / "data") == ["a.ome.zarr"]
    assert [info.name for info in list_volumes(tmp_path / "data")] == ["a"]


def test_a_voxel_size_of_two_numbers_is_refused(tmp_path):
    with pytest.raises(BadInput, match="voxel size '5 1' is not understood: give Z Y X"):
        run(tiff(tmp_path / "a.tif"), tmp_path / "data", "--spacing", "5", "1")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--classes", "vein,artery", "--label-above", "0"), "names several: leave one out"),
        (("--classes", "vein,,artery"), "give each class a name of its own"),
        (("--classes", "vein,vein"), "give each class a name of its own"),
    ],
)
def test_classes_that_cannot_be_told_apart_are_refused(tmp_path, words, why):
    source = npz(tmp_path / "a.npz", label=LABEL)
    with pytest.raises(BadInput, match=why):
        run(source, tmp_path / "data", *words)
    assert not (tmp_path / "data").exists()
