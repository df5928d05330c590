"""Freeing what no study needs, and reading results again: on folders and on object stores."""

import sys
import time

import pytest

from vpbsd.cli import run_main
from vpbsd_sweeps.commands import store as command
from vpbsd_sweeps.store import garbage
from vpbsd_sweeps.store.garbage import FRESH, Piece, free
from vpbsd_sweeps.store.lock import study_lock
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.store.verification import verify
from vpbsd_sweeps.study.reachable import FINAL, SEARCH, list_stages

SHARED, MINE, YOURS, NOBODYS = ("aa", "bb", "cc", "dd")
DAY = 86400.0


def outline(store, study, *keys):
    store.studies.write_json(f"{study}/outline.json", {"stages": [{"key": k} for k in keys]})


@pytest.fixture
def full(store, folder):
    """Two studies that share a stage, and a result of neither."""
    for key in (SHARED, MINE, YOURS, NOBODYS):
        store.commit(key, folder, {})
    outline(store, "mine", SHARED, MINE)
    outline(store, "yours", SHARED, YOURS)
    return store


@pytest.fixture
def later(monkeypatch):
    """Lets hours pass, by the store's clock."""

    def later(hours):
        monkeypatch.setattr(garbage, "store_time", lambda files: time.time() + 3600 * hours)

    return later


@pytest.fixture
def run(full, monkeypatch, capsys):
    def run(*words):
        monkeypatch.setattr(Store, "__init__", lambda self, url: self.__dict__.update(vars(full)))
        monkeypatch.setattr(sys, "argv", ["store", *words])
        with pytest.raises(SystemExit) as ended:
            run_main(command.main)
        return ended.value.code, "".join(capsys.readouterr())

    return run


def there(store):
    return {k for k in (SHARED, MINE, YOURS, NOBODYS) if store.state(k) == "stored"}


def test_what_no_study_needs_is_freed(run, full, later):
    later(2)
    code, printed = run("gc", "--yes")
    assert code == 0
    assert "kept for mine, yours: 3 stages\nto free: 1 results and 0 unfinished" in printed
    assert there(full) == {SHARED, MINE, YOURS}
    assert full.files.sizes(f"results/{NOBODYS}") == {}
    for key in there(full):
        full.open(key)


def test_only_the_studies_named_are_kept(run, full, later):
    later(2)
    assert run("gc", "--keep", "mine", "--yes")[0] == 0
    assert there(full) == {SHARED, MINE}


def test_a_dry_run_and_a_command_that_nobody_can_answer_free_nothing(run, full, later):
    later(2)
    code, printed = run("gc", "--dry-run")
    assert (code, "to free: 1 results" in printed) == (0, True)
    code, printed = run("gc")
    assert (code, "--yes" in printed) == (2, True)
    assert there(full) == {SHARED, MINE, YOURS, NOBODYS}


@pytest.mark.parametrize(("answer", "left"), [("n", 4), ("", 4), ("y", 3)])
def test_a_person_is_asked(run, full, later, monkeypatch, answer, left):
    later(2)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda text: answer)
    run("gc")
    assert len(there(full)) == left


def test_what_is_younger_than_an_hour_stays(run, full, later):
    later(0.9)
    assert "to free: 0 results" in run("gc", "--yes")[1]
    assert NOBODYS in there(full)


def test_only_what_is_older_than_some_days_goes(run, full, later):
    later(47)
    run("gc", "--older", "2", "--yes")
    assert NOBODYS in there(full)
    later(49)
    run("gc", "--older", "2", "--yes")
    assert NOBODYS not in there(full)


def test_a_study_that_is_driven_keeps_what_it_needs(run, full, later):
    later(2)
    with study_lock("yours", full):
        code, printed = run("gc", "--keep", "mine", "--yes")
    assert (code, "kept for mine, yours" in printed) == (0, True)
    assert YOURS in there(full)


def test_a_fresh_checkpoint_keeps_its_study(run, full):
    """Its driver may be on a host that cannot be asked, and reads what is upstream."""
    outline(full, "yours", SHARED, YOURS, "ee")
    full.checkpoints.save("ee", {"last": b"123"})
    assert "kept for mine, yours" in run("gc", "--keep", "mine", "--dry-run")[1]


def test_old_checkpoints_of_nobody_go(run, full, later):
    full.checkpoints.save("ee", {"last": b"123"})
    full.checkpoints.save(MINE, {"last": b"123"})
    later(2)
    assert "to free: 1 results and 1 unfinished stages" in run("gc", "--yes")[1]
    assert full.checkpoints.names("ee") == []
    assert full.checkpoints.names(MINE) == ["last"]


def test_a_study_begun_after_the_question_is_safe(run, full, later, monkeypatch):
    later(2)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)

    def answer(text):
        outline(full, "new", NOBODYS)
        return "y"

    monkeypatch.setattr("builtins.input", answer)
    run("gc")
    assert NOBODYS in there(full)


def test_final_trainings_and_searches_keep_what_they_list(run, full, later):
    list_stages(full, "mine", FINAL, [NOBODYS])
    full.studies.append_line("found/search.jsonl", {"event": "search", "facts": {}})
    list_stages(full, "found", SEARCH, [YOURS])
    later(2)
    run("gc", "--keep", "mine", "found", "--yes")
    assert there(full) == {SHARED, MINE, YOURS, NOBODYS}


def test_a_search_that_lists_nothing_is_not_guessed_at(run, full, later):
    full.studies.append_line("old/search.jsonl", {"event": "search", "facts": {}})
    later(2)
    code, printed = run("gc", "--yes")
    assert (code, "search 'old' was run by a version that did not list" in printed) == (2, True)
    assert run("gc", "--keep", "mine", "--dry-run")[0] == 0


def test_a_study_that_is_not_there_is_named(run):
    code, printed = run("gc", "--keep", "mein")
    assert (code, "no such study; did you mean 'mine'?" in printed) == (2, True)


def test_what_a_killed_commit_left_goes_and_the_result_stays(full, later):
    full.files.write(f"results/{MINE}/0123/a.bin", b"half")
    full.files.write(f"results/{SHARED}/0123/a.bin", b"half")
    later(0.5)
    assert list(garbage.garbage(full, {SHARED, MINE, YOURS, NOBODYS})) == []
    later(2)
    found = list(garbage.garbage(full, {SHARED, MINE, YOURS, NOBODYS}))
    assert found == [Piece("results", f"{key}/0123", 4) for key in (SHARED, MINE)]
    for piece in found:
        free(full, piece)
    assert there(full) == {SHARED, MINE, YOURS, NOBODYS}
    full.open(MINE)


def test_what_was_freed_is_committed_anew(full, folder, later):
    later(2)
    for piece in garbage.garbage(full, ()):
        free(full, piece)
    assert there(full) == set()
    full.commit(MINE, folder, {})
    assert there(full) == {MINE}


def flip(store, key):
    """Changes one byte of a result, as a disk does: its size stays."""
    path = f"results/{key}/{store.manifest(key).attempt}/a.bin"
    store.files.write(path, b"abd")


def test_verify_reads_every_byte(run, full):
    assert run("verify") == (0, "4 results read, 0 damaged\n")
    flip(full, SHARED)
    code, printed = run("verify")
    assert code == 1
    assert f"damaged  {SHARED}: a.bin is not what was committed\n4 results read" in printed
    assert "with --set-aside they are absent: the commands of mine, yours train them" in printed
    assert SHARED in there(full), "it only looks"


def test_verify_sets_aside_what_is_damaged(run, full):
    flip(full, SHARED)
    full.files.write(f"results/{MINE}/manifest.json", b"{")
    assert run("verify", "--set-aside")[0] == 1
    assert [full.state(key) for key in (SHARED, MINE)] == ["absent", "absent"]
    assert run("verify") == (0, "2 results read, 0 damaged\n")


@pytest.mark.slow
def test_all_of_it_on_s3(bucket, folder):
    store = Store("s3://results/runs")
    for key in (SHARED, MINE):
        store.commit(key, folder, {})
    now = garbage.store_time(store.files)
    assert abs(now - time.time()) < 60
    assert list(garbage.garbage(store, {SHARED})) == []
    found = list(garbage.garbage(store, {SHARED}, now=now + FRESH + 1))
    assert [(piece.kind, piece.name) for piece in found] == [("results", MINE)]
    free(store, found[0])
    assert (store.state(MINE), store.state(SHARED)) == ("absent", "stored")
    assert list(verify(store)) == [(SHARED, "")]
    flip(store, SHARED)
    assert list(verify(store)) == [(SHARED, "a.bin is not what was committed")]
