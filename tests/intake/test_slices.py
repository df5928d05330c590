"""Slices are in the order of their numbers, and a folder that lacks one is refused."""

import os

import numpy as np
import pytest
import tifffile

from tests.intake.files import ALL, IMAGE, only
from vpbsd.data.intake.importing import import_volumes
from vpbsd.data.volumes import open_volume
from vpbsd.errors import BadInput


def folder(path, names, planes=None):
    path.mkdir()
    for i, name in enumerate(names):
        tifffile.imwrite(path / f"{name}.tif", IMAGE[i % len(IMAGE)])
    return path


def imported(path, tmp_path):
    return only([path], tmp_path / "data", spacing="unknown")


def test_what_systems_leave_beside_slices_is_skipped(tmp_path):
    path = folder(tmp_path / "brain", [f"z_{z:03d}" for z in range(7)])
    for name in ("._z_000.tif", "._z_003.tif", ".DS_Store", "Thumbs.db", "~$z_001.tif"):
        (path / name).write_bytes(b"\0\5\x16\7not a tiff")
    info = imported(path, tmp_path)
    np.testing.assert_array_equal(open_volume(info).image_block(ALL), IMAGE)


@pytest.mark.parametrize(
    "name",
    [
        "brain_Z{0:04d}_C00",
        "C01_brain{0}_x100",
        "run2_z{0:03d}_{1}",
        "{0:06d}_000100",
        "z{0}_405nm_20240311",
    ],
)
def test_a_gap_in_any_column_of_numbers_is_named(tmp_path, name):
    """The constant numbers before and behind say nothing; a running index hides no gap."""
    kept = [0, 1, 2, 4, 5, 6]
    names = [name.format(z, i) for i, z in enumerate(kept)]
    path = folder(tmp_path / "s", names)
    with pytest.raises(BadInput, match=f"{names[2]}.tif and {names[3]}.tif do not follow"):
        imported(path, tmp_path)
    assert not (tmp_path / "data").exists()
    whole = folder(tmp_path / "whole", [name.format(z, z) for z in range(7)])
    assert imported(whole, tmp_path).shape == (7, 20, 30)


@pytest.mark.parametrize(
    "names",
    [
        [f"z{z}_{z * 2.5:05.2f}um" for z in range(7)],
        [f"{clock}_z{z}" for z, clock in enumerate((101500, 101507, 101519, 101522, 101540))],
        ["a", "b", "c", "d"],
        [f"slice{z}" for z in range(5, 12)],
    ],
    ids=["decimals", "clock", "letters", "from five on"],
)
def test_other_ways_to_number_slices_are_taken(tmp_path, names):
    assert imported(folder(tmp_path / "s", names), tmp_path).shape[0] == len(names)


def test_a_slice_named_unlike_the_others_is_no_slice_of_theirs(tmp_path):
    path = folder(tmp_path / "s", [*(f"z{z}" for z in range(5)), "overview_1"])
    with pytest.raises(BadInput, match="overview_1.tif is named unlike the others"):
        imported(path, tmp_path)


def test_a_slice_of_two_pages_is_named(tmp_path):
    path = folder(tmp_path / "s", [f"z{z}" for z in range(5)])
    tifffile.imwrite(path / "z3.tif", IMAGE[:2])
    with pytest.raises(BadInput, match=r"z3\.tif has 2 pages"):
        imported(path, tmp_path)


def test_a_slice_cut_off_is_named_before_anything_is_written(tmp_path):
    path = folder(tmp_path / "s", [f"z{z}" for z in range(5)])
    os.truncate(path / "z4.tif", (path / "z4.tif").stat().st_size - 100)
    with pytest.raises(BadInput, match=r"z4\.tif: page 1 ends beyond the file"):
        imported(path, tmp_path)
    assert not (tmp_path / "data").exists()


def test_links_that_go_in_a_circle_end(tmp_path):
    path = folder(tmp_path / "in", [])
    folder(path / "a", [f"z{z}" for z in range(3)])
    (path / "loop").symlink_to(path)
    (path / "again").symlink_to(path / "a")
    infos = import_volumes([path], tmp_path / "data", spacing="unknown")
    assert [info.name for info in infos] == ["a"]
