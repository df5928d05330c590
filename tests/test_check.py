"""`vpbsd check` and plans say what a sweep of a data set would find."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from vpbsd import __main__ as program
from vpbsd.data.exposure import judged
from vpbsd.data.folds import make_folds
from vpbsd.data.remarks import remarks
from vpbsd.data.volume_writer import write_array
from vpbsd.data.volumes import label_profile, list_volumes
from vpbsd.errors import BadInput
from vpbsd.protocol import Protocol

SHAPE = (12, 40, 180)
RANDOM = np.random.default_rng(0)


def write(folder, name, x=(3, 50), group=None, image=None, labelled=True):
    """A volume with one straight vessel along x."""
    label = np.zeros(SHAPE, np.uint8)
    label[2:9, 10:14, x[0] : x[1]] = 1
    image = RANDOM.integers(100, 4000, SHAPE).astype(np.uint16) if image is None else image
    return write_array(
        folder,
        name,
        image,
        label if labelled else None,
        spacing_um=(3, 1.6, 1.6),
        group=group or name,
    )


def test_vessel_voxels_are_counted_along_every_axis(tmp_path):
    info = write(tmp_path, "a")
    assert np.flatnonzero(label_profile(info, 0)).tolist() == list(range(2, 9))
    assert label_profile(info, 1)[10:14].tolist() == [7 * 47] * 4
    assert label_profile(info, 2)[[2, 3, 49, 50]].tolist() == [0, 28, 28, 0]
    assert label_profile(info, 2).sum() == info.label_voxels


def test_folds_of_regions_that_nobody_annotated_are_refused(tmp_path):
    """Both volumes are annotated in their left third: two of three folds would score 0."""
    for name in "ab":
        write(tmp_path, name)
    protocol = Protocol(folds=3, split="space", margin=4)
    with pytest.raises(
        BadInput, match="train only on what has no labelled voxel .*a .x 64 to 180"
    ):
        make_folds(list_volumes(tmp_path), protocol)


def test_a_region_without_vessels_is_left_out_of_the_test_and_said(tmp_path):
    write(tmp_path, "a", x=(0, 180))
    write(tmp_path, "b", x=(0, 100))
    volumes = list_volumes(tmp_path)
    folds = make_folds(volumes, Protocol(folds=3, split="space", margin=4))
    tested = [sorted(part.volume.name for part in fold.test) for fold in folds]
    assert tested == [["a", "b"], ["a", "b"], ["a"]]
    said = list(remarks(volumes, folds, (8, 32, 32)))
    assert "note: fold 2 does not test b (x 120 to 180): it has no labelled voxel" in said
    assert (
        "note: the label of b lies between x 0 and 100 of 180: if the rest is not annotated, "
        "crop it, for it counts as background"
    ) in said
    assert not any("the label of a lies between x" in line for line in said)


def test_few_groups_and_nothing_unlabelled_are_said(tmp_path):
    for name in "ab":
        write(tmp_path, name, x=(0, 180))
    volumes = list_volumes(tmp_path)
    said = list(remarks(volumes, make_folds(volumes, Protocol(folds=2)), (8, 32, 32)))
    assert any(line.startswith("note: no volume is without label") for line in said)
    assert (
        "note: 2 labelled groups: no paired test over groups can give a p-value below 0.5" in said
    )


@pytest.mark.parametrize(
    ("values", "counts", "word"),
    [
        ([3, 40, 4095], [90, 9, 1], "saturated"),
        ([3, 40, 4000], [90, 9, 1], ""),
        ([0, 1, 2, 300], [9000, 600, 399, 1], "dark or flat"),
        ([0, 100, 200], [50, 30, 20], ""),
    ],
)
def test_what_is_saturated_or_dark(values, counts, word):
    said = " ".join(judged(np.array(values), np.array(counts)))
    assert (word in said) if word else said == ""


def test_check_draws_the_volumes_and_says_what_is_odd(tmp_path, monkeypatch, capsys):
    image = RANDOM.integers(100, 4000, SHAPE).astype(np.uint16)
    write(tmp_path / "data", "a [1]", group="A", image=image, x=(0, 180))
    write(tmp_path / "data", "b$x_1$", group="B", image=image, labelled=False)
    bright = np.minimum(image, 1023)
    write(tmp_path / "data", "c", image=bright, x=(0, 180))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "argv", ["vpbsd", "check", "data", "--folds", "2", "--split", "space"]
    )
    program.main()
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "picture of all volumes: runs/check/data.png"
    assert (tmp_path / "runs" / "check" / "data.png").read_bytes().startswith(b"\x89PNG")
    assert "note: a [1] and b$x_1$ hold the same voxels under different groups" in shown
    assert any(line.startswith("note: c: ") and "saturated" in line for line in shown)
    assert shown[-1].startswith("fold 1: ")


def test_output_that_nobody_reads_ends_quietly(tmp_path):
    write(tmp_path, "a")
    words = f"{sys.executable} -m vpbsd list {tmp_path} | true; echo ${{PIPESTATUS[0]}}"
    for unbuffered in ("", "1"):
        run = subprocess.run(
            ["bash", "-c", f"PYTHONUNBUFFERED={unbuffered} {words}"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stderr == ""
        assert run.stdout == "141\n"


def test_what_holds_of_many_volumes_is_counted(tmp_path):
    one = write(tmp_path, "a", x=(0, 180))
    volumes = [replace(one, name=f"v{i}") for i in range(7)]
    said = list(remarks(volumes, (), (64, 32, 32)))
    assert [line[:8] for line in said if "thinner" in line] == [f"note: v{i}" for i in range(4)]
    assert said.count("note: the like holds 3 times more") == 2  # thin, and bare along y
