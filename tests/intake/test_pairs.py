"""Which label goes with which image; a mask never becomes an image unnoticed."""

from pathlib import Path

import numpy as np
import pytest

from tests.intake.files import ALL, IMAGE, LABEL, SPACING, nifti, npz, only, table, tiff
from vpbsd.commands.importing import main
from vpbsd.data.intake.importing import Rules, import_volumes
from vpbsd.data.volumes import list_volumes, open_volume
from vpbsd.errors import BadInput


def pairs(sources, dest, **options):
    """Volume -> (labelled, group); every label is the one label there is."""
    infos = import_volumes(sources, dest, **options)
    for info in infos:
        if info.labelled:
            np.testing.assert_array_equal(open_volume(info).label_block(ALL), LABEL)
    return {info.name: (info.labelled, info.group) for info in infos}


def put(folder, *names, array=IMAGE):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        nifti(folder / f"{name}.nii.gz", array)


@pytest.mark.parametrize("word", ["label", "labels", "mask", "seg", "gt", "segmentation", "MASK"])
@pytest.mark.parametrize("mark", ["_", "-", "."])
def test_a_label_is_named_in_many_ways(tmp_path, word, mark):
    put(tmp_path / "in", "m1", "m2")
    put(tmp_path / "in", f"m1{mark}{word}", array=LABEL)
    found = pairs([tmp_path / "in"], tmp_path / "data")
    assert found == {"m1": (True, "m1"), "m2": (False, "m2")}


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("imagesTr", "labelsTr"),
        ("images", "labels"),
        ("images", "masks"),
        ("raw", "gt"),
        (".", "labels"),
        ("img/train", "label/train"),
    ],
)
def test_labels_in_a_folder_of_their_own(tmp_path, images, labels):
    put(tmp_path / "in" / images, "b_000", "b_001")
    put(tmp_path / "in" / labels, "b_000", array=LABEL)
    found = pairs([tmp_path / "in"], tmp_path / "data")
    assert found == {"b_000": (True, "b_000"), "b_001": (False, "b_001")}
    alone = [tmp_path / "in" / images / f"b_00{i}.nii.gz" for i in range(2)]
    assert pairs(alone, tmp_path / "again") == found


def test_channels_of_a_case_share_its_label_and_its_group(tmp_path, capsys):
    put(tmp_path / "in" / "imagesTr", "b_000_0000", "b_000_0001", "b_001_0000")
    put(tmp_path / "in" / "labelsTr", "b_000", "b_001", array=LABEL)
    put(tmp_path / "in" / "imagesTs", "b_002_0000")
    (tmp_path / "in" / "dataset.json").write_text("{}")
    found = pairs([tmp_path / "in"], tmp_path / "data")
    assert found == {
        "b_000_0000": (True, "b_000"),
        "b_000_0001": (True, "b_000"),
        "b_001_0000": (True, "b_001"),
        "b_002_0000": (False, "b_002"),
    }
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("b_000_0000: image b_000_0000.nii.gz | label ")
    assert shown[0].endswith("labelsTr/b_000.nii.gz | group b_000 (by its name)")


def test_four_digits_are_no_channel_where_names_without_them_are_images(tmp_path):
    put(tmp_path, "scan", "scan_0001")
    put(tmp_path, "scan_label", array=LABEL)
    found = pairs([tmp_path], tmp_path / "data")
    assert found == {"scan": (True, "scan"), "scan_0001": (False, "scan_0001")}


def vessap(folder):
    """The published layout: two stains per patch in raw, labels of 0, 95, 255 in gt."""
    for n in range(3):
        for channel in range(2):
            put(folder / "raw", f"patchvolume_{n:03d}_{channel:04d}", array=IMAGE + n + channel)
        put(folder / "gt", f"patchvolume_{n:03d}", array=LABEL * np.uint8(95 if n else 255))


def documented_command():
    lines = Path("docs/data.md").read_text("utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith("    vpbsd import VessAP_vessel"))
    return line


def test_the_command_of_the_pages_imports_the_published_layout(tmp_path, monkeypatch):
    """VesSAP as it is published, in small, by the very command that docs/data.md gives."""
    words = documented_command().split()[2:]
    readme = Path("README.md").read_text("utf-8")
    assert " ".join(documented_command().split()) in " ".join(readme.split())
    vessap(tmp_path / "VessAP_vessel")
    monkeypatch.chdir(tmp_path)
    sources = sorted(map(str, tmp_path.glob(words[0])))
    monkeypatch.setattr("sys.argv", ["vpbsd", *sources, *words[1:]])
    main()
    infos = list_volumes(tmp_path / "data" / "vessap")
    assert [info.name for info in infos] == [f"patchvolume_{n:03d}_0000" for n in range(3)]
    assert {info.group for info in infos} == {f"patchvolume_{n:03d}" for n in range(3)}
    assert all(info.labelled and info.spacing_um == (3, 1.625, 1.625) for info in infos)
    for info in infos:
        np.testing.assert_array_equal(open_volume(info).label_block(ALL), LABEL)


def test_labels_of_another_tree_go_with_the_images_of_their_name(tmp_path):
    put(tmp_path / "brain_vessels" / "raw", "p_1_0000", "p_2_0000")
    put(tmp_path / "annotation" / "gt", "p_1", "p_2", array=LABEL)
    found = pairs([tmp_path / "brain_vessels", tmp_path / "annotation"], tmp_path / "data")
    assert found == {"p_1_0000": (True, "p_1"), "p_2_0000": (True, "p_2")}


@pytest.mark.parametrize("values", [(0, 1), (0, 255), (0, 95, 255), (7,)])
def test_a_mask_in_the_place_of_an_image_is_refused_unless_forced(tmp_path, values):
    mask = np.array(values, np.uint8)[IMAGE % len(values)]
    put(tmp_path / "in", "truth", array=mask)
    held = ", ".join(map(str, values))
    with pytest.raises(BadInput, match=rf"truth\.nii\.gz holds only the values {held}, as a mask"):
        import_volumes([tmp_path / "in"], tmp_path / "data")
    assert not (tmp_path / "data").exists()
    forced = only([tmp_path / "in"], tmp_path / "data", rules=Rules(masks_are_images=True))
    assert not forced.labelled


def test_a_label_without_its_image_is_an_error(tmp_path):
    put(tmp_path / "in", "m1", "m2")
    put(tmp_path / "in", "m3_label", array=LABEL)
    with pytest.raises(BadInput, match=r"m3_label.nii.gz is named as a label, but no image"):
        import_volumes([tmp_path / "in"], tmp_path / "data")


def test_a_label_in_a_folder_without_its_image_is_an_error(tmp_path):
    put(tmp_path / "in" / "imagesTr", "b_000")
    put(tmp_path / "in" / "labelsTr", "b_000", "b_001", array=LABEL)
    with pytest.raises(BadInput, match=r"labelsTr/b_001.nii.gz is named as a label, but no image"):
        import_volumes([tmp_path / "in"], tmp_path / "data")


def test_a_threshold_for_labels_without_any_label_is_an_error(tmp_path):
    put(tmp_path / "in", "m1")
    with pytest.raises(BadInput, match="--label-above is given, but no source has a label"):
        import_volumes([tmp_path / "in"], tmp_path / "data", label_above=0)
    assert not (tmp_path / "data").exists()


def test_a_label_within_and_one_beside_are_not_chosen_between(tmp_path):
    source = npz(tmp_path / "m.npz", label=LABEL)
    tiff(tmp_path / "m_label.tif", LABEL)
    with pytest.raises(BadInput, match=r"m\.npz holds a label, and .*m_label\.tif"):
        import_volumes([source], tmp_path / "data")


def test_a_table_by_real_paths_is_of_sources_given_through_a_link(tmp_path):
    put(tmp_path / "real", "m")
    put(tmp_path / "real", "truth", array=LABEL)
    rows = table(tmp_path / "real", [("m.nii.gz", "animal7", "", "", "truth.nii.gz")])
    (tmp_path / "link").symlink_to(tmp_path / "real")
    found = pairs([tmp_path / "link"], tmp_path / "data", table=rows)
    assert found == {"m": (True, "animal7")}


def test_a_file_that_is_a_link_keeps_its_own_name(tmp_path):
    """As git-annex stores files: the content has a name that says nothing."""
    put(tmp_path / "objects", "MD5E-s100--0af3")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "m.nii.gz").symlink_to(tmp_path / "objects" / "MD5E-s100--0af3.nii.gz")
    assert pairs([tmp_path / "in"], tmp_path / "data") == {"m": (False, "m")}


def test_a_row_of_no_source_is_an_error(tmp_path):
    put(tmp_path / "in", "m", "other")
    rows = table(tmp_path / "in", [("m.nii.gz", "A"), ("other.nii.gz", "B")], ("file", "group"))
    with pytest.raises(BadInput, match=r"other\.nii\.gz is among none of the sources"):
        import_volumes([tmp_path / "in" / "m.nii.gz"], tmp_path / "data", table=rows)


def test_a_row_with_a_comma_too_many_is_an_error(tmp_path):
    put(tmp_path / "in", "m")
    rows = table(tmp_path / "in", [("m.nii.gz", "A", "B")], ("file", "group"))
    with pytest.raises(BadInput, match="line 2 has not as many cells"):
        import_volumes([tmp_path / "in"], tmp_path / "data", table=rows)


def test_accents_written_in_two_ways_are_one_name(tmp_path):
    put(tmp_path / "in", "Ma\u0308use1")  # a and two dots, as macOS stores it
    (info,) = import_volumes([tmp_path / "in"], tmp_path / "data")
    assert (info.name, info.group) == ("M\u00e4use1", "M\u00e4use1")
    assert info.spacing_um == SPACING
