"""Importing again: what differs is named, and gives way only where it is ours and asked for."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.intake.files import ALL, IMAGE, LABEL, npz, only
from vpbsd.data.intake.importing import Rules, import_volumes
from vpbsd.data.volumes import list_volumes, open_volume, volume_path
from vpbsd.errors import BadInput

REPLACE = Rules(replace=True)
OTHER = IMAGE[:, ::-1].copy()
MOVED = np.roll(LABEL, 1, axis=2)


@pytest.mark.parametrize(
    ("arrays", "options", "differs"),
    [
        ({"image": OTHER, "label": LABEL}, {}, "in voxels:"),
        ({"image": IMAGE, "label": MOVED}, {}, "in places of the label:"),
        ({"image": IMAGE}, {}, f"in label voxels ({LABEL.sum()} there, none here):"),
        ({"image": IMAGE, "label": LABEL}, {"group": "B"}, "in group (a there, B here):"),
        ({"image": IMAGE, "label": LABEL}, {"channel": "WGA"}, "in channel (none there, WGA"),
        (
            {"image": IMAGE, "label": LABEL},
            {"spacing": (1, 1, 1)},
            "in voxel size (5 x 0.994 x 0.994 there, 1 x 1 x 1 here):",
        ),
    ],
)
def test_what_differs_is_named_and_replaced_when_asked_for(tmp_path, arrays, options, differs):
    (tmp_path / "new").mkdir()
    first = only([npz(tmp_path / "a.npz", label=LABEL)], tmp_path / "data")
    source = npz(tmp_path / "new" / "a.npz", **arrays)
    with pytest.raises(BadInput) as refused:
        import_volumes([source], tmp_path / "data", **options)
    assert differs in str(refused.value)
    assert "pass --replace" in str(refused.value)
    assert list_volumes(tmp_path / "data") == (first,)
    second = only([source], tmp_path / "data", rules=REPLACE, **options)
    assert list_volumes(tmp_path / "data") == (second,)
    np.testing.assert_array_equal(open_volume(second).image_block(ALL), arrays["image"])
    assert os.listdir(tmp_path / "data") == ["a.ome.zarr"]


def test_a_replacement_that_fails_leaves_what_was_there(tmp_path):
    (tmp_path / "new").mkdir()
    first = only([npz(tmp_path / "a.npz")], tmp_path / "data")
    bad = npz(tmp_path / "new" / "a.npz", image=np.where(IMAGE > 50_000, np.nan, IMAGE))
    with pytest.raises(BadInput, match="holds nan"):
        import_volumes([bad], tmp_path / "data", rules=REPLACE)
    assert list_volumes(tmp_path / "data") == (first,)


def test_what_another_wrote_is_never_replaced_nor_to_be_deleted(tmp_path):
    place = tmp_path / "data" / "a.ome.zarr"
    place.mkdir(parents=True)
    (place / "zarr.json").write_text('{"attributes": {"ome": {}}}')
    for rules in (Rules(), REPLACE):
        with pytest.raises(BadInput, match="move it out of the data folder") as refused:
            import_volumes([npz(tmp_path / "a.npz")], tmp_path / "data", rules=rules)
        assert "delete" not in str(refused.value)
    assert (place / "zarr.json").exists()


def test_a_damaged_volume_of_ours_is_replaced(tmp_path):
    info = only([npz(tmp_path / "a.npz", label=LABEL)], tmp_path / "data")
    (Path(info.path) / "0" / "zarr.json").unlink()
    with pytest.raises(BadInput, match="import its source again with --replace"):
        list_volumes(tmp_path / "data")
    assert only([tmp_path / "a.npz"], tmp_path / "data", rules=REPLACE) == info


def test_names_of_any_length_have_a_place_and_come_back(tmp_path):
    names = ["\u00e4" * 120 + str(i) for i in range(2)]
    for name in names:
        place = volume_path(tmp_path, name)
        assert len(place.name.encode()) < 230
    sources = [npz(tmp_path / f"{name}.npz") for name in names]
    infos = import_volumes(sources, tmp_path / "data", group="g")
    assert [info.name for info in infos] == names
    assert [info.name for info in list_volumes(tmp_path / "data")] == names
    assert import_volumes(sources, tmp_path / "data", group="g") == infos


def test_a_killed_import_leaves_nothing_that_looks_whole(tmp_path):
    """SIGTERM while a volume is written: neither it nor a draft of it stays."""
    source = npz(tmp_path / "a.npz")
    code = (
        "import sys, time\n"
        "from vpbsd.cli import run_main\n"
        "from vpbsd.data import volume_checks\n"
        "from vpbsd.data.intake.importing import import_volumes\n"
        "plain = volume_checks.CheckedPlanes._image\n"
        "def slow(self, z, plane):\n"
        "    print('plane', flush=True)\n"
        "    time.sleep(10 * (z > 1))\n"
        "    return plain(self, z, plane)\n"
        "volume_checks.CheckedPlanes._image = slow\n"
        "run_main(lambda: import_volumes([sys.argv[1]], sys.argv[2]) and None)\n"
    )
    words = [sys.executable, "-c", code, str(source), str(tmp_path / "data")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        lines = [run.stdout.readline() for _ in range(4)]
        assert lines[-1] == "plane\n"
        time.sleep(0.1)
        run.send_signal(signal.SIGTERM)
        error = run.communicate(timeout=30)[1]
    assert run.returncode == 143
    assert error == "terminated: the same command goes on from here\n"
    assert os.listdir(tmp_path / "data") == []


@pytest.mark.parametrize("what", ["a file", "full"])
def test_a_place_that_cannot_be_written_is_one_line(tmp_path, what, monkeypatch):
    source, dest = npz(tmp_path / "a.npz"), tmp_path / "data"
    if what == "a file":
        dest.write_text("")
    else:
        full = OSError(28, "No space left on device")
        monkeypatch.setattr(
            "vpbsd.data.volume_writer._flush", lambda *_: (_ for _ in ()).throw(full)
        )
    with pytest.raises(BadInput, match="data cannot be written: N") as refused:
        import_volumes([source], dest)
    assert "\n" not in str(refused.value)
    assert what == "a file" or os.listdir(dest) == []


def test_a_full_disk_is_said_before_it_can_kill(tmp_path, monkeypatch):
    """Pages of a mapped file that find no room would end the program without a word."""

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(BadInput, match="cannot be written: No space left on device: give another"):
        import_volumes([npz(tmp_path / "a.npz")], tmp_path / "data")
    assert os.listdir(tmp_path / "data") == []
