"""What might be left out, or taken for something else: links, names, labels, tables."""

import os
import unicodedata

import h5py
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its documentation calls it
import tifffile
import zarr

from tests.intake.files import ALL, IMAGE, LABEL, npz, only, run, slices, table, tiff
from tests.intake.test_tiff import multi_file
from vpbsd.data.intake.groups import group_of_name
from vpbsd.data.intake.importing import Rules, import_volumes
from vpbsd.data.intake.stack import Choice
from vpbsd.data.volumes import open_volume
from vpbsd.errors import BadInput


def refused(sources, tmp_path, **options):
    with pytest.raises(BadInput) as caught:
        import_volumes(sources, tmp_path / "data", **{"spacing": "unknown"} | options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()
    return str(caught.value)


@pytest.mark.parametrize("number", [0, 6])
def test_a_slice_whose_link_leads_nowhere_is_no_slice_less(tmp_path, number):
    folder = slices(tmp_path / "s")
    lost = folder / f"brain_z{number}.tif"
    lost.unlink()
    lost.symlink_to("not_mounted.tif")
    assert f"{lost} is a link that leads nowhere" in refused([folder], tmp_path)


def test_a_volume_whose_link_leads_nowhere_is_named(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    npz(folder / "a.npz")
    (folder / "b.npz").symlink_to("b.npz")
    assert "b.npz is a link that leads nowhere" in refused([folder], tmp_path)


def test_what_is_neither_file_nor_folder_is_refused(tmp_path):
    os.mkfifo(tmp_path / "p.npz")
    assert "is neither file nor folder" in refused([tmp_path / "p.npz"], tmp_path)


@pytest.mark.parametrize("name", ["a\nb", "a\udcff"])
def test_names_that_cannot_be_printed_are_refused(tmp_path, name):
    folder = tmp_path / "in"
    folder.mkdir()
    npz(tmp_path / "a.npz").rename(folder / f"{name}.npz")
    assert "a character in its name that cannot be printed" in refused([folder], tmp_path)


def test_accents_written_in_two_ways(tmp_path):
    """Of an image and its label they are one name; of two files they are no reason to drop one."""
    folder = tmp_path / "in"
    folder.mkdir()
    npz(folder / "\u00e4.npz")
    npz(folder / (unicodedata.normalize("NFD", "\u00e4_label") + ".npz"), image=LABEL)
    assert only([folder], tmp_path / "paired").label_voxels == LABEL.sum()
    npz(folder / "a\u0308.npz", image=IMAGE[::-1])
    assert "its accents written in two ways" in refused([folder], tmp_path)


def test_nothing_beside_slices_is_left_out(tmp_path):
    folder = slices(tmp_path / "s")
    slices(folder / "second_stain", array=IMAGE[::-1])
    npz(folder / "other.npz", image=IMAGE[:, ::-1])
    infos = import_volumes([folder], tmp_path / "data", spacing="unknown")
    assert [info.name for info in infos] == ["s", "other", "second_stain"]


@pytest.mark.parametrize(("image", "label"), [("s", "s/labels"), ("images", "masks")])
def test_a_folder_of_a_labels_slices_belongs_to_the_images(tmp_path, image, label):
    slices(tmp_path / image)
    slices(tmp_path / label, array=LABEL)
    info = only([tmp_path / image], tmp_path / "data", spacing="unknown")
    np.testing.assert_array_equal(open_volume(info).label_block(ALL), LABEL)


@pytest.mark.parametrize("label", ["brain_label.tif", "labels/brain.tif"])
def test_the_label_of_a_series_is_named_as_its_folder_is(tmp_path, label):
    folder = multi_file(tmp_path / "in" / "brain")
    (tmp_path / "in" / label).parent.mkdir(exist_ok=True)
    tiff(tmp_path / "in" / label, LABEL)
    rows = table(tmp_path, [("in/brain", "mouse1")], ("file", "group"))
    info = only([folder], tmp_path / "data", spacing="unknown", table=rows)
    assert (info.name, info.group, info.label_voxels) == ("brain", "mouse1", LABEL.sum())


def test_an_image_and_its_label_are_no_two_slices(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a", "a_label"):
        tifffile.imwrite(tmp_path / "in" / f"{name}.tif", IMAGE[0])
    assert "is named as another slice's label" in refused([tmp_path / "in"], tmp_path)


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"mask": LABEL, "seg": 1 - LABEL}, "holds the labels mask, seg: choose by"),
        ({"vessels": LABEL}, "holds vessels beside the image image: if it is the label"),
    ],
)
def test_an_array_that_may_be_the_label_is_not_left_out(tmp_path, arrays, why):
    path = npz(tmp_path / "a.npz", **arrays)
    assert why in refused([path], tmp_path)
    label = next(iter(arrays))
    chosen = Rules(choice=Choice({}, None, label))
    assert only([path], tmp_path / "data", rules=chosen).label_voxels == LABEL.sum()


def test_a_channel_of_an_array_with_axes_of_one_is_chosen(tmp_path):
    both = np.stack([IMAGE, IMAGE[::-1]], -1)[None]
    path = npz(tmp_path / "a.npz", image=both)
    info = only([path], tmp_path / "data", rules=Rules(choice=Choice({"c": 1})))
    np.testing.assert_array_equal(open_volume(info).image_block(ALL), IMAGE[::-1])


def test_chunks_that_were_never_written_are_said(tmp_path, capsys):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        raw = file.create_dataset("raw", (7, 20, 30), "u2", chunks=(1, 20, 30))
        raw[:5] = IMAGE[:5]
    only([tmp_path / "a.h5"], tmp_path / "data", spacing="unknown")
    assert "a.h5, 2 of 7 chunks are not there and count as empty" in capsys.readouterr().out


def test_packed_metaimage_that_is_damaged_is_refused(tmp_path):
    """ITK would go on with what it could unpack."""
    path = tmp_path / "a.mha"
    sitk.WriteImage(sitk.GetImageFromArray(IMAGE), str(path), useCompression=True)
    only([path], tmp_path / "whole", spacing="unknown")
    raw = bytearray(path.read_bytes())
    raw[-4000:-3900] = bytes(100)
    path.write_bytes(raw)
    assert "a.mha cannot be read" in refused([path], tmp_path)


def zarr_of(path, about):
    group = zarr.open_group(path, mode="w", zarr_format=2)
    for level in range(2):
        group.create_array(str(level), data=IMAGE[:, :: 2**level, :: 2**level])
    axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": about}]
    return path


def test_the_finest_level_is_read_wherever_it_is_listed(tmp_path):
    steps = [[{"type": "scale", "scale": [5, s, s]}] for s in (2, 1)]
    levels = zip("10", steps, strict=True)
    about = [{"path": path, "coordinateTransformations": step} for path, step in levels]
    info = only([zarr_of(tmp_path / "a.zarr", about)], tmp_path / "data")
    assert (info.shape, info.spacing_um) == (IMAGE.shape, (5, 1, 1))


def test_a_unit_without_a_scale_is_no_voxel_size(tmp_path):
    path = zarr_of(tmp_path / "a.zarr", [{"path": "0"}])
    assert "volume a states no voxel size" in refused([path], tmp_path, spacing=None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("file,group,group\na.npz,g,h\n", "each once"),
        ('file,group\na.npz,"g\nh"\n', "a cell holds a line break"),
        ('file,group\na.npz,"g\n', "cannot be read: unexpected end of data"),
        ("file,group\na.npz,g\na_label.npz,h\n", "or is another's label"),
    ],
)
def test_tables_that_would_be_half_understood_are_refused(tmp_path, text, why):
    path = npz(tmp_path / "a.npz")
    npz(tmp_path / "a_label.npz", image=LABEL)
    (tmp_path / "t.csv").write_text(text)
    assert why in refused([path, tmp_path / "a_label.npz"], tmp_path, table=tmp_path / "t.csv")


def test_spaces_in_a_tables_heading_are_none(tmp_path):
    npz(tmp_path / "a.npz")
    (tmp_path / "t.csv").write_text("file, group\na.npz,g\n")
    assert only([tmp_path / "a.npz"], tmp_path / "data", table=tmp_path / "t.csv").group == "g"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--group", " "), "--group is empty"),
        (("--label-above", "nan"), "--label-above nan: give a number"),
        (("--take", "c=\u00b2"), "give c=N"),
    ],
)
def test_words_that_say_nothing_are_refused(tmp_path, words, why):
    with pytest.raises(BadInput, match=why):
        run(npz(tmp_path / "a.npz", label=LABEL), tmp_path / "data", *words)


def test_a_label_that_ends_up_empty_is_said(tmp_path, capsys):
    only([npz(tmp_path / "a.npz", label=LABEL)], tmp_path / "data", label_above=5)
    assert "warning: the label of a is empty" in capsys.readouterr().err


def test_labels_of_classes_alone_are_no_images(tmp_path):
    (tmp_path / "labelsTr").mkdir()
    npz(tmp_path / "labelsTr" / "a.npz", image=IMAGE % 5)
    assert "lies in a folder of labels" in refused([tmp_path / "labelsTr"], tmp_path)


@pytest.mark.parametrize(
    "name",
    ["Copy of m1", "m1_Kopie", "m1_tile_03_04", "m1_z0100-0200", "m1_t0", "m1_561nm", "m1_rot90"],
)
def test_copies_tiles_and_stains_are_of_one_group(name):
    assert group_of_name(name) == "m1"


@pytest.mark.parametrize(("ours", "theirs"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_tables_accents_may_be_written_in_another_way_than_its_files(tmp_path, ours, theirs):
    """Groups are one however they are written: else an animal would be trained and tested on."""
    names = [f"M\u00e4use {i}" for i in (1, 2)]
    for name in names:
        npz(tmp_path / f"{unicodedata.normalize(theirs, name)}.npz", image=IMAGE)
    cells = [
        (unicodedata.normalize(ours, f"{names[0]}.npz"), unicodedata.normalize("NFC", "\u00fc")),
        (unicodedata.normalize(ours, f"{names[1]}.npz"), unicodedata.normalize("NFD", "\u00fc")),
    ]
    rows = table(tmp_path, cells, ("file", "group"))
    made = import_volumes([tmp_path], tmp_path / "data", table=rows)
    assert [(v.name, v.group) for v in made] == [(name, "\u00fc") for name in names]


@pytest.mark.parametrize("word", ["m\n1", "m\u20281"])
def test_groups_that_cannot_be_printed_are_refused(tmp_path, word):
    npz(tmp_path / "a.npz", image=IMAGE)
    with pytest.raises(BadInput, match="--group 'm.*has a character that cannot be printed"):
        import_volumes([tmp_path], tmp_path / "data", group=word)
