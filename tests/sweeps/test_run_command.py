"""`vpbsd run`: a stored stage is run again by hand, and gives the same."""

import json
import shutil
import sys

import pytest

from vpbsd.cli import run_main
from vpbsd_sweeps.commands import run as command
from vpbsd_sweeps.store.results import Store

pytestmark = pytest.mark.usefixtures("cheap")


@pytest.fixture
def store(trial, tmp_path):
    """Holds every stage of a trial but the student and its evaluation."""
    store = Store(str(tmp_path / "store"))
    for one in trial.values():
        if one.stage.family not in ("student", "evaluation"):
            store.commit(one.stage.key, one.folder, {"threads": 1.0})
    return store


@pytest.fixture
def student(trial):
    (one,) = [one for one in trial.values() if one.stage.family == "student"]
    return one


@pytest.fixture
def run(store, tmp_path, monkeypatch, capsys):
    """Runs the command on the stage.json of a folder; returns code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def called(folder, *words):
        argv = ["program", str(folder / "stage.json"), "--store", store.url, *map(str, words)]
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as ended:
            run_main(command.main)
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return called


def test_what_is_not_stored_is_run_and_stored_and_then_compared(run, student, store, tmp_path):
    code, out, err = run(student.folder)
    key = student.stage.key
    assert (code, out) == (0, f"stored   {key[:12]} ({student.stage.label}) in {store.url}\n")
    assert err.splitlines()[-1].startswith(f"{student.stage.label}: 100 %")
    assert store.manifest(key).metadata["family"] == "student"
    stored = store.open(key)
    weights = "weights.safetensors"
    assert (stored / weights).read_bytes() == (student.folder / weights).read_bytes()

    for _ in range(2):  # the second time in place of the first
        code, out, _ = run(stored)
        assert code == 0
        assert f"same     {weights}\n" in out
        assert "differs" not in out
    again = tmp_path / "runs" / "again" / key[:12]
    assert (again / weights).read_bytes() == (student.folder / weights).read_bytes()


def test_what_differs_is_named_with_its_numbers(run, student, store, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(student.folder, other)
    rows = student.rows
    rows[1]["loss"] = 77.0
    (other / "rows.json").write_text(json.dumps(rows))
    (other / "weights.safetensors").write_bytes(b"other")
    store.commit(student.stage.key, other, {"threads": 1.0})
    code, out, _ = run(student.folder)
    assert code == 1
    assert "differs  rows.json\ndiffers  weights.safetensors\n" in out
    assert "\n  rows.json 1.loss: 77.0 stored, " in out
    assert "same     summary.json" in out


def test_a_missing_input_is_named(run, student, store):
    name, above = next(iter(student.stage.upstream.items()))
    store.set_aside(above.key)
    code, _, err = run(student.folder)
    assert code == 2
    assert f"error: input '{name}' is the result of stage {above.key[:12]}, which " in err
    assert err.count("\n") == 1


def test_volumes_that_moved_are_found_by_their_content(run, student, store, folder, tmp_path):
    data, gone = tmp_path / "data", tmp_path / "gone"
    shutil.copytree(folder, data)
    for path in list(data.iterdir()):
        path.rename(path.with_name(f"renamed-{path.name}"))
    gone.mkdir()
    shutil.copy(student.folder / "stage.json", gone)
    text = (gone / "stage.json").read_text()
    (gone / "stage.json").write_text(text.replace(str(folder), "/nowhere"))
    code, _, err = run(gone, "--data", data)
    assert code == 0, err
    weights = store.open(student.stage.key) / "weights.safetensors"
    assert weights.read_bytes() == (student.folder / "weights.safetensors").read_bytes()


def test_a_volume_that_is_nowhere_is_named(run, student, folder, tmp_path):
    part = student.stage.parts["labelled"][0]
    data = tmp_path / "data"
    shutil.copytree(folder, data)
    shutil.rmtree(data / f"{part.volume.name}.ome.zarr")
    code, _, err = run(student.folder, "--data", data)
    assert code == 2
    assert f"error: --data: volume {part.volume.name} of the stage is not there" in err


def test_another_folder_is_left_alone(run, student, store, tmp_path):
    store.commit(student.stage.key, student.folder, {"threads": 1.0})
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter.txt").write_text("all of it")
    code, _, err = run(student.folder, "--out", out)
    assert (code, [p.name for p in out.iterdir()]) == (2, ["chapter.txt"])
    assert "there is something else there" in err


def test_what_is_no_stage_is_refused(run, tmp_path):
    code, _, err = run(tmp_path)
    assert (code, err.startswith(f"error: there is no file {tmp_path}/stage.json")) == (2, True)
    (tmp_path / "stage.json").write_text("{}")
    code, _, err = run(tmp_path)
    assert (code, "this is no stage that this version can run" in err) == (2, True)
