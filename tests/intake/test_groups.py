"""Volumes of one animal are one group, or it is said that they seem to be."""

from pathlib import Path

import pytest

from tests.intake.files import IMAGE, LABEL, npz
from vpbsd.data.folds import make_folds
from vpbsd.data.intake.groups import doubts, group_by, group_of_name
from vpbsd.data.intake.importing import Rules, import_volumes
from vpbsd.data.volumes import list_volumes
from vpbsd.errors import BadInput
from vpbsd.protocol import Protocol


@pytest.mark.parametrize(
    ("names", "group"),
    [
        (["m1_C00", "m1_C01", "m1_ch2", "m1-channel_3"], "m1"),
        (["m1", "m1_blurred", "m1_denoised2", "m1 copy", "m1 (2)", "m1_deconvolved"], "m1"),
        (["m1_tile3", "m1_x0001_y0002", "m1_r0_c1", "m1[00 x 01]_C00", "m1_crop"], "m1"),
        (["brain_001"], "brain_001"),
        (["patchvolume_006"], "patchvolume_006"),
        (["C57BL6_3"], "C57BL6_3"),
        (["blurred"], "blurred"),
        (["x10"], "x10"),
    ],
)
def test_channels_tiles_and_copies_are_of_one_group(names, group):
    assert {group_of_name(name) for name in names} == {group}


@pytest.mark.parametrize(
    ("pattern", "name", "folder", "group"),
    [
        (r"^(m\d+)", "m12_left", "a", "m12"),
        (r"m\d+", "xm12_left", "a", "m12"),
        (r"(\d+)_(left|right)", "m12_left", "a", "12-left"),
        (r"animal(\d+)", "scan", "animal7/day1", "7"),
    ],
)
def test_a_group_is_found_in_a_name_or_its_folders(pattern, name, folder, group):
    assert group_by(pattern, name, Path(folder) / "x.tif") == group


@pytest.mark.parametrize(("pattern", "why"), [("(", "is no regular"), ("zz", "finds nothing in")])
def test_a_pattern_that_finds_nothing_is_refused(pattern, why):
    with pytest.raises(BadInput, match=why):
        group_by(pattern, "m12", Path("a/x.tif"))


@pytest.mark.parametrize(
    "groups",
    [
        ["mouse1_left", "mouse1_right", "mouse2_left"],
        ["a_0000", "a_0001", "b_0000", "b_0001"],
        ["exp_m1_d0", "exp_m1_d7", "exp_m2_d0"],
    ],
)
def test_shared_beginnings_are_named_with_the_option_that_groups_by_them(groups):
    (line,) = doubts(groups, stated=False)
    pattern = line.partition("--group-from '")[2].rstrip("'")
    assert len({group_by(pattern, group, Path("x")) for group in groups}) == 2
    assert not list(doubts(groups, stated=True))


@pytest.mark.parametrize(
    "groups", [["brain_000", "brain_001", "brain_002"], ["exp1_m1", "exp1_m2"], ["a", "b"], ["a"]]
)
def test_numbers_that_tell_animals_apart_are_no_doubt(groups):
    assert not list(doubts(groups, stated=False))


def test_two_spellings_of_one_animal_are_named():
    (line,) = doubts(["Mouse 1", "mouse_1", "mouse2"], stated=True)
    assert line.startswith("the groups Mouse 1, mouse_1 differ in spelling only")


def put(folder, images):
    folder.mkdir()
    for name, image in images.items():
        npz(folder / f"{name}.npz", image=image, label=LABEL)
    return folder


def test_the_same_voxels_under_two_groups_are_named_and_never_trained_and_tested(tmp_path, capsys):
    source = put(tmp_path / "in", {"m1": IMAGE, "m2": IMAGE, "m3": IMAGE + 1})
    import_volumes([source], tmp_path / "data")
    warned = capsys.readouterr().err
    assert warned.startswith("warning: m1 and m2 hold the same voxels under different groups")
    volumes = list_volumes(tmp_path / "data")
    with pytest.raises(BadInput) as refused:
        make_folds(volumes, Protocol(folds=3))
    assert "tests m1 (group m1) and trains on m2 (group m2), which holds the same" in str(
        refused.value
    )
    import_volumes([source], tmp_path / "one", rules=Rules(group_from="^(m)[12]|m3"))
    assert not capsys.readouterr().err
    folds = make_folds(list_volumes(tmp_path / "one"), Protocol(folds=2))
    assert [sorted(part.volume.name for part in fold.test) for fold in folds] == [
        ["m1", "m2"],
        ["m3"],
    ]


def test_the_same_voxels_are_found_in_any_format_label_and_voxel_size(tmp_path, capsys):
    put(tmp_path / "in", {"m1": IMAGE})
    import_volumes([tmp_path / "in"], tmp_path / "data", spacing=(1, 1, 1))
    npz(tmp_path / "m2.npz", image=IMAGE[None])
    import_volumes([tmp_path / "m2.npz"], tmp_path / "data")
    assert "m1 and m2 hold the same voxels" in capsys.readouterr().err


def test_a_group_stated_twice_is_refused(tmp_path):
    with pytest.raises(BadInput, match="--group and --group-from both state"):
        import_volumes(["x"], tmp_path, group="g", rules=Rules(group_from="x"))
