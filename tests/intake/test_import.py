"""Every format comes back as it was."""

import os
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile

from tests.intake.files import (
    ALL,
    IMAGE,
    LABEL,
    SPACING,
    imagej,
    nifti,
    npz,
    ome,
    only,
    run,
    slices,
    table,
    tiff,
)
from vpbsd.data.intake.importing import import_volumes
from vpbsd.data.volumes import list_volumes, open_volume
from vpbsd.errors import BadInput

STATING = {
    "npz": lambda folder: npz(folder / "mouse.npz"),
    "nifti": lambda folder: nifti(folder / "mouse.nii"),
    "nifti gz": lambda folder: nifti(folder / "mouse.nii.gz"),
    "nifti mm": lambda folder: nifti(
        folder / "mouse.nii", spacing=[s / 1000 for s in SPACING], unit="mm"
    ),
    "nifti 4-D": lambda folder: nifti(folder / "mouse.nii", IMAGE[None], (1.0, *SPACING)),
    "imagej": lambda folder: imagej(folder / "mouse.tif"),
    "imagej micron": lambda folder: imagej(folder / "mouse.tiff", unit="\\u00B5m"),
    "ome": lambda folder: ome(folder / "mouse.ome.tif"),
    "ome nm": lambda folder: ome(folder / "mouse.ome.tif", "nm", 1000),
}


SILENT = {
    "npz": lambda folder: npz(folder / "mouse.npz", spacing_zyx_um=np.full(3, np.nan)),
    "nifti": lambda folder: nifti(folder / "mouse.nii", unit="unknown"),
    "nifti 1 mm": lambda folder: nifti(folder / "mouse.nii", spacing=(1, 1, 1), unit="mm"),
    "tiff": lambda folder: tiff(folder / "mouse.tif"),
    "tiff tiled": lambda folder: tiff(folder / "mouse.tif", tile=(16, 16)),
    "tiff zlib": lambda folder: tiff(folder / "mouse.tif", compression="zlib", rowsperstrip=6),
    "tiff big-endian": lambda folder: tiff(folder / "mouse.tif", byteorder=">"),
    "imagej pixels": lambda folder: imagej(folder / "mouse.tif", unit="pixel"),
    "slices": lambda folder: slices(folder / "mouse"),
}


@pytest.mark.parametrize("kind", STATING)
def test_a_file_that_states_its_voxel_size_comes_back(tmp_path, kind):
    info = only([STATING[kind](tmp_path)], tmp_path / "data")
    assert (info.name, info.group, info.dtype, info.shape) == (
        "mouse",
        "mouse",
        "uint16",
        (7, 20, 30),
    )
    assert info.spacing_um == SPACING
    assert not info.labelled
    np.testing.assert_array_equal(open_volume(info).image_block(ALL), IMAGE)


@pytest.mark.parametrize("kind", SILENT)
def test_a_file_that_states_none_needs_one(tmp_path, kind):
    source = SILENT[kind](tmp_path)
    with pytest.raises(BadInput) as refused:
        import_volumes([source], tmp_path / "data")
    assert str(refused.value) == (
        "volume mouse states no voxel size: pass --spacing Z Y X in micrometres, "
        "or --spacing unknown"
    )
    assert not (tmp_path / "data").exists()
    info = only([source], tmp_path / "data", spacing=SPACING)
    assert info.spacing_um == SPACING
    np.testing.assert_array_equal(open_volume(info).image_block(ALL), IMAGE)


def test_every_format_has_one_fingerprint(tmp_path):
    made = []
    for i, kind in enumerate([*STATING.values(), *SILENT.values()]):
        (tmp_path / str(i)).mkdir()
        dest = tmp_path / str(i) / "data"
        made.append(only([kind(tmp_path / str(i))], dest, spacing=SPACING).fingerprint)
    assert len(made) == 18
    assert len(set(made)) == 1


def test_scaled_nifti_gives_its_scaled_values(tmp_path):
    image = nib.Nifti1Image(IMAGE.astype(np.int16).T, np.eye(4))
    image.header.set_slope_inter(0.5, 3)
    nib.save(image, tmp_path / "a.nii.gz")
    info = only([tmp_path / "a.nii.gz"], tmp_path / "data", spacing="unknown")
    read = open_volume(info).image_block(ALL)
    np.testing.assert_array_equal(read, nib.load(tmp_path / "a.nii.gz").get_fdata().T)
    assert len(np.unique(read)) > 1000


def test_a_label_within_an_npz_comes_back(tmp_path):
    info = only([npz(tmp_path / "a.npz", label=LABEL)], tmp_path / "data")
    assert info.label_voxels == LABEL.sum()
    np.testing.assert_array_equal(open_volume(info).label_block(ALL), LABEL)


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: nifti(folder / "a_label.nii.gz", LABEL),
        lambda folder: tiff(folder / "a_label.tif", LABEL),
        lambda folder: slices(folder / "a_label", array=LABEL),
        lambda folder: npz(folder / "a_label.npz", label=LABEL),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
def test_a_label_beside_its_image_is_found_and_is_no_volume(tmp_path, write, whole):
    folder = tmp_path / "in"
    folder.mkdir()
    image, label = nifti(folder / "a.nii.gz"), write(folder)
    info = only([folder] if whole else [label, image], tmp_path / "data")
    assert info.name == "a"
    np.testing.assert_array_equal(open_volume(info).label_block(ALL), LABEL)


@pytest.mark.parametrize("label_above", [None, 0])
def test_labels_of_0_95_255_need_a_threshold(tmp_path, label_above):
    source = npz(tmp_path / "a.npz", label=LABEL * np.uint8(95) + (IMAGE > 55_000) * np.uint8(160))
    if label_above is None:
        with pytest.raises(BadInput, match=r"a\.npz: .* 0, 95, 255: pass --label-above 0"):
            import_volumes([source], tmp_path / "data")
    else:
        info = only([source], tmp_path / "data", label_above=label_above)
        np.testing.assert_array_equal(open_volume(info).label_block(ALL), LABEL)


def test_slices_are_in_the_order_of_their_numbers(tmp_path):
    """brain_z10 comes after brain_z9, not after brain_z1."""
    array = np.arange(12, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 5), np.uint8)
    folder = slices(tmp_path / "s", range(12), array)
    info = only([folder], tmp_path / "data", spacing="unknown")
    np.testing.assert_array_equal(open_volume(info).image_block(ALL), array)


@pytest.mark.parametrize("numbers", [[0, 16, 32, 49, 65, 81, 97], [7, 7, 7, 7, 7, 7, 7]])
def test_slices_may_be_numbered_by_place_or_not_at_all(tmp_path, numbers):
    """Steps of 1.625 um, rounded to tenths, differ by one; a constant number says nothing."""
    folder = tmp_path / "s"
    folder.mkdir()
    for letter, number in zip("abcdefg", numbers, strict=True):
        tifffile.imwrite(folder / f"{letter}_{number}.tif", IMAGE[0])
    assert only([folder], tmp_path / "data", spacing="unknown").shape == (7, 20, 30)


def test_a_folder_stands_for_all_volumes_in_it(tmp_path):
    folder = tmp_path / "in"
    (folder / "deeper").mkdir(parents=True)
    npz(folder / "a.npz")
    tiff(folder / "deeper" / "b.tif")
    slices(folder / "c")
    (folder / "notes.txt").write_text("no volume")
    (folder / ".hidden.npz").write_text("no volume")
    infos = import_volumes([folder], tmp_path / "data", spacing="unknown")
    assert [info.name for info in infos] == ["a", "c", "b"]
    assert {info.name for info in list_volumes(tmp_path / "data")} == {"a", "b", "c"}


def test_a_table_goes_before_options_and_options_before_headers(tmp_path):
    for name in ("a", "b", "c"):
        npz(tmp_path / f"{name}.npz")
    (tmp_path / "labels").mkdir()
    tiff(tmp_path / "labels" / "truth.tif", LABEL)
    rows = table(
        tmp_path,
        [("a.npz", "A", "1 2 3", "WGA", "labels/truth.tif"), ("b.npz", "", "unknown", "", "")],
    )
    infos = import_volumes(
        [tmp_path / f"{n}.npz" for n in "abc"],
        tmp_path / "data",
        spacing=(9.0, 8.0, 7.0),
        group="G",
        channel="CD31",
        table=rows,
    )
    assert [(i.group, i.spacing_um, i.channel, i.labelled) for i in infos] == [
        ("A", (1, 2, 3), "WGA", True),
        ("G", SPACING, "CD31", False),
        ("G", (9, 8, 7), "CD31", False),
    ]


def test_importing_again_finds_them_there(tmp_path, capsys):
    sources = [npz(tmp_path / "a.npz", label=LABEL), nifti(tmp_path / "b.nii")]
    first = import_volumes(sources[:1], tmp_path / "data")
    assert "already there" not in capsys.readouterr().out
    second = import_volumes(sources, tmp_path / "data")
    assert second[:1] == first
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "a: image a.npz | label within | group a (by its name)",
        "b: image b.nii | no label | group b (by its name)",
    ]
    assert [line.endswith("already there") for line in lines[2:]] == [True, False]
    assert lines[3].startswith(
        "2/2 b: 7 x 20 x 30 uint16, 5 x 0.994 x 0.994 um, group b, no label"
    )


@pytest.mark.parametrize("kind", ["tif", "tiled", "zlib", "nii", "nii.gz", "slices"])
def test_memory_does_not_grow_with_the_volume(tmp_path, kind):
    """24 MB of voxels pass through; numpy, Python and the readers never hold half of it."""
    image = np.zeros((96, 360, 360), np.uint16) + np.arange(96, dtype=np.uint16)[:, None, None]
    if kind == "slices":
        source = slices(tmp_path / "a", range(96), image)
    elif kind.startswith("nii"):
        source = nifti(tmp_path / f"a.{kind}", image)
    else:
        options = {"tif": {}, "tiled": {"tile": (128, 128)}, "zlib": {"compression": "zlib"}}[kind]
        source = tiff(tmp_path / "a.tif", image, **options)
    size = image.nbytes
    del image
    tracemalloc.start()
    info = only([source], tmp_path / "data", spacing="unknown")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert info.shape == (96, 360, 360)
    assert peak < size / 2


def test_the_command_line(tmp_path):
    source = npz(tmp_path / "a.npz", label=LABEL * 255)
    dest = tmp_path / "data"
    size = ["--spacing", "3", "1.625", "1.625"]
    run(source, dest, *size, "--group", "vol013", "--channel", "WGA", "--label-above", "0")
    (info,) = list_volumes(dest)
    assert (info.spacing_um, info.group, info.channel) == ((3, 1.625, 1.625), "vol013", "WGA")
    assert info.label_voxels == LABEL.sum()


def test_the_command_line_takes_unknown_and_a_table(tmp_path):
    tiff(tmp_path / "a.tif")
    rows = table(tmp_path, [("a.tif", "A")], ("file", "group"))
    run(tmp_path / "a.tif", tmp_path / "data", "--spacing", "unknown", "--table", rows)
    (info,) = list_volumes(tmp_path / "data")
    assert (info.spacing_um, info.group) == (None, "A")


def test_the_values_of_a_label_have_names(tmp_path):
    two = LABEL + (IMAGE > 55_000).astype(np.uint8)
    source = npz(tmp_path / "a.npz", label=two)
    with pytest.raises(BadInput, match="name the classes of 1, 2, ... by --classes"):
        import_volumes([source], tmp_path / "data")
    run(source, tmp_path / "data", "--classes", "vein,artery")
    (info,) = list_volumes(tmp_path / "data")
    assert (info.classes, info.label_voxels) == (("vein", "artery"), LABEL.sum())
    np.testing.assert_array_equal(open_volume(info).label_block(ALL), two)


REAL = os.environ.get("VPBSD_TEST_DATA")


@pytest.mark.skipif(not REAL, reason="VPBSD_TEST_DATA names no folder of real volumes")
def test_real_volumes_come_back(tmp_path):
    folder = Path(REAL or "") / "vesselnn_two_photon"
    names = ["vnn_burgess2014_bbbDisruption", "vnn_poon2015_BBB_Leakage"]
    infos = import_volumes([folder / f"{n}.npz" for n in names], tmp_path)
    assert [round(i.label_voxels / np.prod(i.shape), 3) for i in infos] == [0.124, 0.032]
    for info in infos:
        assert info.spacing_um == SPACING
        with np.load(folder / f"{info.name}.npz") as arrays:
            image, label = arrays["image"], arrays["label"]
        volume = open_volume(info)
        np.testing.assert_array_equal(volume.image_block(ALL), image)
        np.testing.assert_array_equal(volume.label_block(ALL), label)
        for percentile in (95, 99.5):
            assert volume.limits(percentile) == (image.min(), np.percentile(image, percentile))
