"""A database that was moved or copied with the artefacts beside it finds them where they are."""

import shutil
from collections import OrderedDict

import pytest
from mlflow.tracking._tracking_service import utils

from tests.sweeps.small_study import small_study
from vpbsd_sweeps.reporting.records import load_records
from vpbsd_sweeps.tracking.sqlite import prepare
from vpbsd_sweeps.tracking.tracker import open_tracker


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    home = tmp_path_factory.mktemp("first place")
    small_study(home)
    return home


@pytest.fixture(autouse=True)
def _another_process(monkeypatch):
    """MLflow remembers where a run's artefacts are for as long as a process lives."""
    monkeypatch.setattr(utils, "_artifact_repos_cache", OrderedDict())


def opened(home):
    tracker = open_tracker(f"sqlite:///{home}/mlflow.db", "small")
    return tracker, load_records(tracker, "small").parent


def pictures(home):
    tracker, _ = opened(home)
    run = next(tracker.runs("tags.`vpbsd.arm` = 'vpbsd' and tags.`vpbsd.fold` = '0'")).run_id
    return [tracker.read_file(run, path) for path in tracker.list_files(run, "pictures")]


def test_what_was_moved_is_read_and_written_in_its_new_place(first, tmp_path):
    before = pictures(first)
    assert len(before) == 12
    here = shutil.copytree(first, tmp_path / "here")
    there = here.rename(tmp_path / "der neue Ort")
    assert pictures(there) == before
    tracker, parent = opened(there)
    tracker.log_text(parent, "found", "note.md")
    assert (there / "artifacts" / parent / "artifacts" / "note.md").read_text() == "found"
    assert not here.exists()


def test_a_copy_writes_into_its_own_artefacts(first, tmp_path):
    copy = shutil.copytree(first, tmp_path / "copy")
    tracker, parent = opened(copy)
    tracker.log_text(parent, "mine", "note.md")
    assert (copy / "artifacts" / parent / "artifacts" / "note.md").is_file()
    assert not (first / "artifacts" / parent / "artifacts" / "note.md").exists()
    new = tracker.get_or_create_run("trial:new", "new", parent, {}, {})
    tracker.log_text(new, "mine", "note.md")
    assert (copy / "artifacts" / new / "artifacts" / "note.md").is_file()


def test_artefacts_that_stayed_where_they_were_are_still_found_there(first, tmp_path):
    """A database alone was copied; an empty folder beside it holds no run of it."""
    shutil.copy(first / "mlflow.db", tmp_path / "mlflow.db")
    assert len(pictures(tmp_path)) == 12
    (tmp_path / "artifacts").mkdir()
    assert len(pictures(tmp_path)) == 12


def test_one_folder_under_two_names_stays_as_it_is(first, tmp_path):
    """Another host may use the other name."""
    there = shutil.copytree(first, tmp_path / "there")
    pictures(there)
    here = there.rename(tmp_path / "here")
    there.symlink_to(here)
    before = (here / "mlflow.db").read_bytes()
    prepare(f"sqlite:///{here}/mlflow.db")
    assert (here / "mlflow.db").read_bytes() == before
