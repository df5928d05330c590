"""The store: what a crash, a flipped byte or a second writer can and cannot do to a result."""

import errno
import hashlib
import json
import logging
import math
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sweeps.running
import sweeps.store
from sweeps.store import Damaged, Store
from vpbsd.errors import BadInput

KEY = "0123abcdef"


@pytest.fixture(autouse=True)
def _process(monkeypatch, tmp_path):
    monkeypatch.setenv("VPBSD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sweeps.store, "_verified", set())


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    if request.param == "local":
        yield Store(str(tmp_path / "store"))
        return
    url = f"memory://{uuid4().hex}"
    yield Store(url)
    files = fsspec.filesystem("memory")
    if files.exists(url):
        files.rm(url, recursive=True)


@pytest.fixture
def folder(tmp_path):
    """Two files of 3 and 5 bytes."""
    made = tmp_path / "made"
    (made / "zarr" / "c").mkdir(parents=True)
    (made / "a.bin").write_bytes(b"abc")
    (made / "zarr" / "c" / "0").write_bytes(b"01234")
    return made


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def spoil(store, manifest, content, name="a.bin"):
    """Overwrites a committed file in the store itself."""
    path = f"{store.url}/results/{KEY}/{manifest.attempt}/{name}"
    files, path = fsspec.core.url_to_fs(path)
    files.rm_file(path)
    if content is not None:
        files.pipe_file(path, content)


def below(store, part=""):
    """Names of all files below a part of the store, by another way than the store's own."""
    files, root = fsspec.core.url_to_fs(f"{store.url}/{part}".rstrip("/"))
    return sorted(path[len(root) + 1 :] for path in files.find(root))


# where it is


def test_local_urls_become_one_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for url in ["runs/x", "./runs/x/", "~/runs/x", f"file://{tmp_path}/runs/../runs/x"]:
        assert Store(url).url == f"{tmp_path}/runs/x"
        assert Store(url).is_local


def test_remote_urls_and_pickled_stores_keep_their_place():
    store = Store("memory://bucket/runs/")
    assert not store.is_local
    again = pickle.loads(pickle.dumps(store))
    assert (type(again), again.url) == (Store, store.url)
    store.write_json("s/a.json", {"a": 1})
    assert again.read_json("s/a.json") == {"a": 1}
    assert fsspec.filesystem("memory").exists("/bucket/runs/studies/s/a.json")


@pytest.mark.parametrize("url", ["", "nosuch://bucket/runs"])
def test_a_url_that_means_nothing_is_bad_input(url):
    with pytest.raises(BadInput, match=r"^the store .*: give a folder[^\n]*$"):
        Store(url)


def test_check_writable_leaves_nothing_behind(store, tmp_path):
    before = below(store), sorted(tmp_path.rglob("*"))
    store.check_writable()
    assert (below(store), sorted(tmp_path.rglob("*"))) == before
    store.write_json("s/a.json", {})
    store.check_writable()
    assert below(store) == ["studies/s/a.json"]


@pytest.mark.parametrize("tail", ["", "/x/y"])
def test_a_store_below_a_file_is_not_writable(tmp_path, tail):
    (tmp_path / "file").touch()
    store = Store(f"{tmp_path}/file{tail}")
    with pytest.raises(BadInput, match=rf"^the store {store.url} [^\n]*: give a folder[^\n]*$"):
        store.check_writable()
    assert store.state(KEY) == "absent"


def test_other_errors_of_a_store_are_told_in_one_line(monkeypatch):
    store = Store(f"memory://{uuid4().hex}")

    def refuse(*_, **__):
        raise RuntimeError("no credentials\nat all")

    monkeypatch.setattr(store._files, "pipe_file", refuse)
    with pytest.raises(BadInput, match=r"\(no credentials\): give[^\n]*$"):
        store.check_writable()


@pytest.mark.parametrize("key", ["", "ABC", "xyz", "../ab", "ab/cd", "0x1", "ab\n"])
def test_keys_are_lowercase_hexadecimal(store, folder, key):
    calls = [
        lambda: store.state(key),
        lambda: store.manifest(key),
        lambda: store.open(key),
        lambda: store.set_aside(key),
        lambda: store.commit(key, folder, {}),
        lambda: store.load_running(key, "a"),
        lambda: store.clear_running(key),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="lowercase hexadecimal"):
            call()
    assert below(store) == []


@pytest.mark.parametrize("name", ["", "/etc/x", "../x", "a/../../x", "a//b", "./a"])
def test_names_stay_inside_their_folder(store, name):
    with pytest.raises(ValueError, match="does not name a file"):
        store.write_json(name, {})
    if name:
        with pytest.raises(ValueError, match="does not name a file"):
            store.save_running(KEY, {name: b""})
    assert below(store) == []


# results


def test_a_commit_is_all_files_and_a_manifest(store, folder):
    assert store.state(KEY) == "absent"
    assert store.manifest(KEY) is None
    manifest = store.commit(KEY, folder, {"epochs": 3, "loss": [0.5, None]})
    assert store.state(KEY) == "stored"
    assert store.manifest(KEY) == manifest
    files = [f"{manifest.attempt}/a.bin", f"{manifest.attempt}/zarr/c/0", "manifest.json"]
    assert below(store, f"results/{KEY}") == files
    written = json.loads(store._files.cat_file(f"{store._root}/results/{KEY}/manifest.json"))
    assert written == {
        "version": 1,
        "key": KEY,
        "attempt": manifest.attempt,
        "facts": {"epochs": 3, "loss": [0.5, None]},
        "files": {
            "a.bin": {  # the digest of "abc" is FIPS 180-2's example
                "size": 3,
                "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            },
            "zarr/c/0": {"size": 5, "sha256": hashlib.sha256(b"01234").hexdigest()},
        },
    }


def test_open_gives_the_files_in_a_local_folder(store, folder, tmp_path):
    manifest = store.commit(KEY, folder, {})
    opened = store.open(KEY)
    assert content(opened) == {"a.bin": b"abc", "zarr/c/0": b"01234"}
    home = Path(store.url) / "results" if store.is_local else tmp_path / "cache"
    assert opened.is_relative_to(home)
    assert opened.parts[-2:] == (KEY, manifest.attempt)
    assert content(folder) == content(opened)


def test_facts_may_hold_nan(store, folder):
    store.commit(KEY, folder, {"hd95": math.nan, "worst": math.inf})
    facts = store.manifest(KEY).facts
    assert math.isnan(facts["hd95"])
    assert facts["worst"] == math.inf


def test_a_result_may_be_facts_alone(store, tmp_path):
    (tmp_path / "empty").mkdir()
    store.commit(KEY, tmp_path / "empty", {"dsc": 0.5})
    assert store.state(KEY) == "stored"
    assert store.open(KEY).is_dir()


def test_a_folder_that_is_missing_and_facts_that_are_no_json_commit_nothing(store, folder):
    with pytest.raises(NotADirectoryError, match="nowhere"):
        store.commit(KEY, folder / "nowhere", {})
    with pytest.raises(TypeError):
        store.commit(KEY, folder, {"path": folder})
    assert below(store) == []


def test_an_absent_result_cannot_be_opened_or_set_aside(store):
    with pytest.raises(FileNotFoundError, match=KEY):
        store.open(KEY)
    with pytest.raises(FileNotFoundError):
        store.set_aside(KEY)


def test_the_first_commit_is_kept(store, folder):
    first = store.commit(KEY, folder, {"by": 1})
    (folder / "a.bin").unlink()
    assert store.commit(KEY, folder, {"by": 2}) == first
    assert store.manifest(KEY) == first
    assert len(below(store, f"results/{KEY}")) == 3


def test_a_crash_before_the_manifest_leaves_no_result(store, folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Store, "_publish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.commit(KEY, folder, {})
    assert len(below(store, f"results/{KEY}")) == 2
    assert store.state(KEY) == "absent"
    store.commit(KEY, folder, {})
    assert content(store.open(KEY)) == content(folder)


@pytest.mark.parametrize("left", [b"ab", b"abcd", b"", None], ids=["cut", "long", "empty", "gone"])
def test_a_file_of_the_wrong_size_is_seen_without_reading(store, folder, monkeypatch, left):
    manifest = store.commit(KEY, folder, {})
    spoil(store, manifest, left)
    with monkeypatch.context() as patch:
        patch.setattr(sweeps.store, "measure", lambda _: pytest.fail("read a file"))
        assert store.state(KEY) == "damaged"
        assert store.manifest(KEY) is None
    with pytest.raises(Damaged, match=r"a\.bin"):
        store.open(KEY)
    assert store.state(KEY) == "absent"


def test_a_flipped_byte_is_seen_on_opening_and_set_aside(store, folder, caplog):
    for n in [1, 2]:
        manifest = store.commit(KEY, folder, {})
        spoil(store, manifest, b"abd")
        assert store.state(KEY) == "stored"
        caplog.clear()
        with pytest.raises(Damaged, match=r"a\.bin"):
            store.open(KEY)
        (warning,) = caplog.records
        assert warning.levelno == logging.WARNING
        for named in [KEY, store.url, f"manifest.damaged-{n}.json", "a.bin"]:
            assert named in warning.getMessage()
        assert store.state(KEY) == "absent"
        assert store.is_local or not store._place(manifest).exists()
        assert f"manifest.damaged-{n}.json" in below(store, f"results/{KEY}")
    (folder / "a.bin").write_bytes(b"new")
    store.commit(KEY, folder, {})
    assert content(store.open(KEY))["a.bin"] == b"new"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-9],
        lambda text: b"",
        lambda text: b"\xff\x00",
        lambda text: text.replace(b'"version": 1', b'"version": 2'),
        lambda text: text.replace(KEY.encode(), b"ff"),
        lambda text: text.replace(b"zarr/c/0", b"../../x"),
        lambda text: text.replace(b'"attempt": "', b'"attempt": "./'),
    ],
    ids=["torn", "empty", "bytes", "version", "key", "file", "attempt"],
)
def test_a_manifest_that_cannot_be_trusted_is_damage(store, folder, change):
    store.commit(KEY, folder, {})
    where = f"{store._root}/results/{KEY}/manifest.json"
    store._files.pipe_file(where, change(store._files.cat_file(where)))
    assert store.state(KEY) == "damaged"
    assert store.manifest(KEY) is None
    assert store.commit(KEY, folder, {"again": True}).facts == {"again": True}
    assert store.state(KEY) == "stored"
    assert "manifest.damaged-1.json" in below(store, f"results/{KEY}")


def test_the_manifest_of_another_key_is_damage(store, folder):
    store.commit(KEY, folder, {})
    root = f"{store._root}/results"
    store._files.makedirs(f"{root}/ff")
    store._files.cp_file(f"{root}/{KEY}/manifest.json", f"{root}/ff/manifest.json")
    assert store.state("ff") == "damaged"
    assert store.state(KEY) == "stored"


def test_checksums_are_verified_once_per_process(store, folder, monkeypatch):
    manifest = store.commit(KEY, folder, {})
    store.open(KEY)
    with monkeypatch.context() as patch:
        patch.setattr(sweeps.store, "measure", lambda _: pytest.fail("read again"))
        assert content(Store(store.url).open(KEY)) == content(folder)
    sweeps.store._verified.clear()  # another process
    spoil(store, manifest, b"abd")
    if store.is_local:
        with pytest.raises(Damaged):
            store.open(KEY)
    else:  # its copy is still what was committed
        assert content(store.open(KEY)) == content(folder)


def test_a_second_process_that_finds_the_damage_first_is_no_error(store, folder, monkeypatch):
    spoil(store, store.commit(KEY, folder, {}), b"abd")
    check = sweeps.store.differing

    def overtaken(*args):
        Store.set_aside(store, KEY)
        return check(*args)

    monkeypatch.setattr(sweeps.store, "differing", overtaken)
    with pytest.raises(Damaged):
        store.open(KEY)
    assert [name for name in below(store) if "damaged" in name] == [
        f"results/{KEY}/manifest.damaged-1.json"
    ]


def test_a_remote_result_is_downloaded_once_and_its_copy_mended(folder, monkeypatch):
    store = Store(f"memory://{uuid4().hex}")
    store.commit(KEY, folder, {})
    fetched = []
    get = store._files.get
    monkeypatch.setattr(store._files, "get", lambda *args: (fetched.append(args), get(*args)))
    opened = store.open(KEY)
    sweeps.store._verified.clear()
    assert store.open(KEY) == opened
    assert len(fetched) == 1
    (opened / "a.bin").write_bytes(b"abd")
    sweeps.store._verified.clear()
    assert content(store.open(KEY)) == content(folder)
    assert len(fetched) == 2
    assert store.state(KEY) == "stored"
    assert sorted(path.name for path in opened.parent.iterdir()) == [opened.name]


def test_a_local_commit_links_and_copies_where_it_must(tmp_path, folder, monkeypatch):
    linked, copied = Store(f"{tmp_path}/linked"), Store(f"{tmp_path}/copied")
    linked.commit(KEY, folder, {})
    assert (linked.open(KEY) / "a.bin").samefile(folder / "a.bin")

    def refuse(*_):
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "link", refuse)
    copied.commit(KEY, folder, {})
    assert not (copied.open(KEY) / "a.bin").samefile(folder / "a.bin")
    assert content(copied.open(KEY)) == content(folder)
    assert not [name for name in below(copied) if "draft" in name]


def test_a_linked_source_is_stored_by_content(tmp_path, folder):
    (folder / "pointer").symlink_to(folder / "a.bin")
    store = Store(f"{tmp_path}/store")
    store.commit(KEY, folder, {})
    (folder / "a.bin").unlink()
    assert content(store.open(KEY))["pointer"] == b"abc"


class Meeting(Store):
    """Waits, after its upload and before its manifest, until all writers are there."""

    barrier = None

    def _publish(self, *args):
        if Meeting.barrier is not None:
            Meeting.barrier.wait(30)
        super()._publish(*args)


def commit_and_tell(url, folder, number, barrier, told):
    Meeting.barrier = barrier
    told.put(Meeting(url).commit(KEY, folder, {"by": number}).attempt)


def test_of_two_processes_that_commit_one_key_the_first_is_kept(tmp_path, folder):
    context = multiprocessing.get_context("spawn")
    barrier, told = context.Barrier(2), context.Queue()
    store = Store(f"{tmp_path}/store")
    writers = [
        context.Process(target=commit_and_tell, args=(store.url, folder, n, barrier, told))
        for n in range(2)
    ]
    for writer in writers:
        writer.start()
    attempts = [told.get(timeout=60) for _ in writers]
    for writer in writers:
        writer.join(60)
    kept = store.manifest(KEY).attempt
    assert attempts == [kept, kept]
    assert {Path(name).parts[0] for name in below(store, f"results/{KEY}")} == {
        kept,
        "manifest.json",
    }
    assert content(store.open(KEY)) == content(folder)


KILLED = """
import sys, time
from pathlib import Path
import sweeps.store as store

def stop(*_):
    print("here", flush=True)
    time.sleep(60)

url, folder, place = sys.argv[1:]
owner = store.Store if place == "_publish" else store
setattr(owner, place, stop)
store.Store(url).commit("ab", Path(folder), {})
"""


@pytest.mark.parametrize("place", ["sync", "_publish", "claim"])
def test_a_commit_that_is_killed_leaves_no_result(tmp_path, folder, place):
    store = Store(f"{tmp_path}/store")
    command = [sys.executable, "-c", KILLED, store.url, str(folder), place]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"here\n"
        process.send_signal(signal.SIGKILL)
    assert below(store, "results/ab")
    assert store.state("ab") == "absent"
    store.commit("ab", folder, {})
    assert content(store.open("ab")) == content(folder)


# running stages


def test_running_files_survive_until_they_are_cleared(store, tmp_path):
    checkpoint = tmp_path / "checkpoint"
    checkpoint.write_bytes(b"weights")
    assert store.list_running(KEY) == []
    store.save_running(KEY, {"step.json": b"{}", "last.safetensors": checkpoint})
    again = Store(store.url)
    assert again.list_running(KEY) == ["last.safetensors", "step.json"]
    assert again.load_running(KEY, "last.safetensors") == b"weights"
    assert again.load_running(KEY, "other") is None
    assert again.fetch_running(KEY, "last.safetensors", tmp_path / "new" / "copy")
    assert (tmp_path / "new" / "copy").read_bytes() == b"weights"
    again.save_running("ff", {"other": b"1"})
    again.clear_running(KEY)
    assert below(store) == ["running/ff/other"]
    again.clear_running(KEY)
    assert store.load_running(KEY, "step.json") is None


def test_a_missing_running_file_is_not_fetched(store, tmp_path):
    target = tmp_path / "out" / "copy"
    assert not store.fetch_running(KEY, "last", target)
    assert list(target.parent.iterdir()) == []
    target.write_bytes(b"mine")
    assert not store.fetch_running(KEY, "last", target)
    assert target.read_bytes() == b"mine"


def test_a_fetched_checkpoint_is_not_changed_by_the_next_save(store, tmp_path):
    for step in [b"1", b"2"]:
        checkpoint = tmp_path / "checkpoint"
        checkpoint.unlink(missing_ok=True)
        checkpoint.write_bytes(step)
        store.save_running(KEY, {"last": checkpoint})
        store.fetch_running(KEY, "last", tmp_path / step.decode())
    assert (tmp_path / "1").read_bytes() == b"1"
    assert (tmp_path / "2").read_bytes() == b"2"
    store.save_running(KEY, {"last": checkpoint})  # the very same file once more
    assert below(store) == [f"running/{KEY}/last"]


def test_a_save_that_fails_keeps_the_file_before_it(store, tmp_path):
    store.save_running(KEY, {"last": b"old"})
    with pytest.raises(FileNotFoundError):
        store.save_running(KEY, {"last": tmp_path / "nowhere"})
    assert store.load_running(KEY, "last") == b"old"
    assert below(store) == [f"running/{KEY}/last"]


def test_a_draft_of_a_killed_save_is_not_listed_and_goes_with_the_rest(tmp_path, monkeypatch):
    store = Store(f"{tmp_path}/store")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: None)  # a killed process cleans nothing
        patch.setattr(sweeps.running, "sync", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.save_running(KEY, {"last": b"half"})
    assert len(below(store)) == 1
    assert store.list_running(KEY) == []
    assert store.load_running(KEY, "last") is None
    store.clear_running(KEY)
    assert below(store) == []


def numbered(start, stop, by=0):
    return [{"row": n, "by": by} for n in range(start, stop)]


def test_rows_are_read_in_order_up_to_the_first_gap(store):
    assert store.read_rows(KEY, 0) == []
    for first in [9, 0, 12, 3]:  # 6, 7 and 8 are missing
        store.append_rows(KEY, first, numbered(first, first + 3))
    assert store.read_rows(KEY, 0) == numbered(0, 6)
    assert store.read_rows(KEY, 2) == numbered(2, 6)
    assert store.read_rows(KEY, 6) == []
    assert store.read_rows(KEY, 10) == numbered(10, 15)
    assert store.read_rows(KEY, 15) == store.read_rows(KEY, 99) == []
    store.append_rows(KEY, 6, numbered(6, 9))
    assert store.read_rows(KEY, 4) == numbered(4, 15)
    assert "rows-12.json" in store.list_running(KEY)


def test_batches_before_the_start_are_not_read(store, monkeypatch):
    for first in [0, 3, 6]:
        store.append_rows(KEY, first, numbered(first, first + 3))
    read = []
    load = store.load_running
    monkeypatch.setattr(
        store, "load_running", lambda *args: (read.append(args[1]), load(*args))[1]
    )
    assert store.read_rows(KEY, 6) == numbered(6, 9)
    assert read == ["rows-6.json"]


def test_the_same_rows_again_change_nothing(store):
    for first in [0, 3, 0, 3, 0]:
        store.append_rows(KEY, first, numbered(first, first + 3))
    assert store.read_rows(KEY, 0) == numbered(0, 6)
    store.append_rows(KEY, 3, numbered(3, 6, by=1))
    assert store.read_rows(KEY, 0) == numbered(0, 3) + numbered(3, 6, by=1)


def test_a_resumed_stage_replaces_the_rows_after_its_checkpoint(store):
    for first in [0, 3, 6]:
        store.append_rows(KEY, first, numbered(first, first + 3))
    store.append_rows(KEY, 4, numbered(4, 7, by=1))  # resumed at row 4, in other batches
    assert store.read_rows(KEY, 0) == numbered(0, 4) + numbered(4, 7, by=1)
    store.append_rows(KEY, 7, numbered(7, 10, by=1))
    assert store.read_rows(KEY, 0) == numbered(0, 4) + numbered(4, 10, by=1)
    assert store.read_rows(KEY, 5) == numbered(5, 10, by=1)


def test_rows_are_counted_from_zero(store):
    with pytest.raises(ValueError, match="counted from 0"):
        store.append_rows(KEY, -1, [])
    with pytest.raises(ValueError, match="counted from 0"):
        store.read_rows(KEY, -1)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
ROWS = st.lists(st.dictionaries(st.text(), LEAVES | st.lists(LEAVES, max_size=3), max_size=3))


@pytest.mark.parametrize("kind", ["local", "memory"])
@settings(deadline=None, max_examples=15)
@given(batches=st.lists(ROWS.filter(len), max_size=4), data=st.data())
def test_rows_come_back_as_they_went_in(kind, batches, data):
    everything = [row for batch in batches for row in batch]
    firsts = [sum(map(len, batches[:n])) for n in range(len(batches))]
    start = data.draw(st.integers(0, len(everything) + 1))
    order = data.draw(st.permutations(range(len(batches))))
    with tempfile.TemporaryDirectory() as root:
        store = Store(root if kind == "local" else f"memory://{uuid4().hex}")
        for n in [*order, *order[:1]]:
            store.append_rows(KEY, firsts[n], batches[n])
        assert store.read_rows(KEY, start) == everything[start:]
        store.clear_running(KEY)


# studies


def test_study_files_are_replaced(store):
    assert store.read_json("ablation/study.json") is None
    for n in [1, 2]:
        store.write_json("ablation/study.json", {"n": n, "fold": [1, None], "nan": math.inf})
    assert store.read_json("ablation/study.json") == {"n": 2, "fold": [1, None], "nan": math.inf}
    assert below(store) == ["studies/ablation/study.json"]


def test_a_journal_keeps_its_order(store):
    assert store.read_lines("s/journal") == []
    entries = [{"n": n, "text": "two\nlines \u2028 \x85"} for n in range(12)]
    for entry in entries:
        Store(store.url).append_line("s/journal", entry)
    assert store.read_lines("s/journal") == entries


def test_a_torn_journal_line_costs_only_itself(tmp_path, caplog):
    store = Store(str(tmp_path))
    for n in [1, 2]:
        store.append_line("s/journal", {"n": n})
    journal = tmp_path / "studies" / "s" / "journal"
    with journal.open("ab") as file:
        file.write(b'{"n": 3, "te')
    assert store.read_lines("s/journal") == [{"n": 1}, {"n": 2}]
    assert "studies/s/journal" in caplog.text
    store.append_line("s/journal", {"n": 4})
    assert store.read_lines("s/journal") == [{"n": 1}, {"n": 2}, {"n": 4}]
    journal.write_bytes(journal.read_bytes()[:-1])  # only the line's end was lost
    assert store.read_lines("s/journal") == [{"n": 1}, {"n": 2}, {"n": 4}]
    store.append_line("s/journal", {"n": 5})
    assert store.read_lines("s/journal") == [{"n": 1}, {"n": 2}, {"n": 4}, {"n": 5}]


def test_two_writers_of_a_journal_file_lose_nothing(tmp_path):
    def write(writer):
        for n in range(10):
            Store(str(tmp_path)).append_line("s/journal", {"by": writer, "n": n})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    entries = Store(str(tmp_path)).read_lines("s/journal")
    assert len(entries) == 40
    for writer in range(4):
        assert [e["n"] for e in entries if e["by"] == writer] == list(range(10))


def test_two_writers_that_count_alike_lose_nothing_on_an_object_store(monkeypatch):
    store = Store(f"memory://{uuid4().hex}")
    with monkeypatch.context() as patch:
        patch.setattr(store, "_sizes", lambda _: {})  # neither saw the other's entry
        store.append_line("s/journal", {"by": 1})
        store.append_line("s/journal", {"by": 2})
    store.append_line("s/journal", {"by": 3})
    *both, last = store.read_lines("s/journal")
    assert sorted(entry["by"] for entry in both) == [1, 2]
    assert last == {"by": 3}


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    store = Store(str(tmp_path))
    opened = Path.open

    def short(path, *args, **kwargs):
        file = opened(path, *args, **kwargs)

        class Short:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                file.close()

            def write(self, line):
                return file.write(line[:4])

            def __getattr__(self, name):
                return getattr(file, name)

        return Short()

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", short)
        with pytest.raises(OSError, match="only a part"):
            store.append_line("s/journal", {"n": 1})
    store.append_line("s/journal", {"n": 2})
    assert store.read_lines("s/journal") == [{"n": 2}]


def test_a_folder_of_the_same_name_on_another_node_is_refused(tmp_path):
    store = Store(str(tmp_path / "store"))
    mark = store.mark()
    assert mark == store.mark(), "written once"
    Store(store.url).check_mark(mark)
    os.rename(store.url, tmp_path / "moved")  # what stands here now is not that folder
    with pytest.raises(BadInput, match=rf"{store.url} is not the same folder on node .* s3://"):
        store.check_mark(mark)
    assert store.mark() != mark
    with pytest.raises(BadInput, match="is not the same folder"):
        store.check_mark(mark)


def test_a_url_is_the_same_on_every_node():
    store = Store("memory://bucket/name")
    assert store.mark() == ""
    store.check_mark("")


# an object store


@pytest.mark.slow
def test_a_store_on_s3(bucket, folder, tmp_path):
    store = Store("s3://results/runs/")
    assert store.url == "s3://results/runs"
    store.check_writable()
    assert "Contents" not in bucket.list_objects_v2(Bucket="results")
    with pytest.raises(BadInput, match="s3://nosuch"):
        Store("s3://nosuch/runs").check_writable()

    assert store.state(KEY) == "absent"
    with pytest.raises(FileNotFoundError):
        store.set_aside(KEY)
    manifest = store.commit(KEY, folder, {"n": 1})
    assert store.commit(KEY, folder, {"n": 2}) == manifest == store.manifest(KEY)
    assert content(store.open(KEY)) == content(folder)

    (tmp_path / "empty").mkdir()
    store.commit("aa", tmp_path / "empty", {})
    assert store.open("aa").is_dir()

    name = f"runs/results/{KEY}/{manifest.attempt}/a.bin"
    bucket.put_object(Bucket="results", Key=name, Body=b"abcd")  # as another process would
    assert store.state(KEY) == "damaged"
    bucket.put_object(Bucket="results", Key=name, Body=b"abd")
    assert store.state(KEY) == "stored"
    sweeps.store._verified.clear()
    (store._place(manifest) / "a.bin").write_bytes(b"xyz")
    with pytest.raises(Damaged, match=r"a\.bin"):
        store.open(KEY)
    assert store.state(KEY) == "absent"
    store.commit(KEY, folder, {})
    assert content(store.open(KEY)) == content(folder)

    store.save_running(KEY, {"last": folder / "a.bin", "step": b"4"})
    for first in [0, 3, 2]:
        store.append_rows(KEY, first, numbered(first, first + 3))
    assert store.read_rows(KEY, 1) == numbered(1, 5)
    assert store.list_running(KEY) == ["last", "rows-0.json", "rows-2.json", "step"]
    assert store.fetch_running(KEY, "last", tmp_path / "last")
    assert not store.fetch_running(KEY, "nothing", tmp_path / "nothing")
    assert (tmp_path / "last").read_bytes() == b"abc"
    store.clear_running(KEY)
    store.clear_running(KEY)
    assert store.list_running(KEY) == []

    assert store.read_lines("s/journal") == []
    for n in range(11):
        store.append_line("s/journal", {"n": n})
    assert store.read_lines("s/journal") == [{"n": n} for n in range(11)]
    assert store.read_json("s/a.json") is None
    store.write_json("s/a.json", {"a": 1})
    assert store.read_json("s/a.json") == {"a": 1}
