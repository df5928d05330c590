"""The store: what a crash, a flipped byte or a second writer can and cannot do to a result."""

import errno
import hashlib
import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import vpbsd_sweeps.store.results
from tests.store.looking import below, content
from vpbsd.errors import BadInput
from vpbsd_sweeps.store.files import FileStore
from vpbsd_sweeps.store.results import Damaged, Store

KEY = "0123abcdef"


def test_a_commit_is_all_files_and_a_manifest(store, folder):
    assert store.state(KEY) == "absent"
    assert store.manifest(KEY) is None
    manifest = store.commit(KEY, folder, {"epochs": 3, "loss": [0.5, None]})
    assert store.state(KEY) == "stored"
    assert store.manifest(KEY) == manifest
    files = [f"{manifest.attempt}/a.bin", f"{manifest.attempt}/zarr/c/0", "manifest.json"]
    assert below(store, f"results/{KEY}") == files
    written = json.loads(store.files.fs.cat_file(store.files.path(f"results/{KEY}/manifest.json")))
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
    home = Path(store.url) / "results" if store.files.is_local else tmp_path / "cache"
    assert opened.is_relative_to(home)
    assert opened.parts[-2:] == (KEY, manifest.attempt)
    assert content(folder) == content(opened)


def test_metadata_may_hold_nan(store, folder):
    store.commit(KEY, folder, {"hd95": math.nan, "worst": math.inf})
    metadata = store.manifest(KEY).metadata
    assert math.isnan(metadata["hd95"])
    assert metadata["worst"] == math.inf


def test_a_result_may_be_metadata_alone(store, tmp_path):
    (tmp_path / "empty").mkdir()
    store.commit(KEY, tmp_path / "empty", {"dsc": 0.5})
    assert store.state(KEY) == "stored"
    assert store.open(KEY).is_dir()


def test_a_folder_that_is_missing_and_metadata_that_are_no_json_commit_nothing(store, folder):
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
        patch.setattr(FileStore, "create", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.commit(KEY, folder, {})
    assert len(below(store, f"results/{KEY}")) == 2
    assert store.state(KEY) == "absent"
    store.commit(KEY, folder, {})
    assert content(store.open(KEY)) == content(folder)


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


def commit_and_tell(url, folder, number, barrier, attempts):
    """Commits from a process that waits between upload and manifest until both are there."""
    store = Store(url)
    create = store.files.create
    store.files.create = lambda *args: (barrier.wait(30), create(*args))
    attempts.put(store.commit(KEY, folder, {"by": number}).attempt)


def test_of_two_processes_that_commit_one_key_the_first_is_kept(tmp_path, folder):
    context = multiprocessing.get_context("spawn")
    barrier, committed = context.Barrier(2), context.Queue()
    store = Store(f"{tmp_path}/store")
    writers = [
        context.Process(target=commit_and_tell, args=(store.url, folder, n, barrier, committed))
        for n in range(2)
    ]
    for writer in writers:
        writer.start()
    attempts = [committed.get(timeout=60) for _ in writers]
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
import vpbsd_sweeps.store.files as files
import vpbsd_sweeps.store.results as results

def stop(*_):
    print("here", flush=True)
    time.sleep(60)

url, folder, place = sys.argv[1:]
owner = {"sync": results, "create": files.FileStore, "link_if_free": files}[place]
setattr(owner, place, stop)
results.Store(url).commit("ab", Path(folder), {})
"""


@pytest.mark.parametrize("place", ["sync", "create", "link_if_free"])
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


def test_a_folder_of_the_same_name_on_another_node_is_refused(tmp_path, monkeypatch):
    store = Store(str(tmp_path / "store"))
    mark = store.files.mark()
    with monkeypatch.context() as patch:  # asked for each stage
        patch.setattr(store.files, "create", lambda *_: pytest.fail("written once"))
        assert mark == store.files.mark()
    Store(store.url).files.check_mark(mark)
    os.rename(store.url, tmp_path / "moved")  # what stands here now is not that folder
    with pytest.raises(BadInput, match=rf"{store.url} is not the same folder on node .* s3://"):
        store.files.check_mark(mark)
    assert store.files.mark() != mark
    with pytest.raises(BadInput, match="is not the same folder"):
        store.files.check_mark(mark)


def test_a_url_is_the_same_on_every_node():
    store = Store("memory://bucket/name")
    assert store.files.mark() == ""
    store.files.check_mark("")


@pytest.mark.slow
def test_a_store_on_s3(bucket, folder, tmp_path):
    store = Store("s3://results/runs/")
    assert store.url == "s3://results/runs"
    store.files.check_writable()
    assert "Contents" not in bucket.list_objects_v2(Bucket="results")
    with pytest.raises(BadInput, match="s3://nosuch"):
        Store("s3://nosuch/runs").files.check_writable()

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
    vpbsd_sweeps.store.results._verified.clear()
    (store._place(manifest) / "a.bin").write_bytes(b"xyz")
    with pytest.raises(Damaged, match=r"a\.bin"):
        store.open(KEY)
    assert store.state(KEY) == "absent"
    store.commit(KEY, folder, {})
    assert content(store.open(KEY)) == content(folder)

    store.checkpoints.save(KEY, {"last": folder / "a.bin", "step": b"4"})
    for first in [0, 3, 2]:
        store.checkpoints.append_rows(KEY, first, [{"epoch": first + i} for i in range(3)])
    assert store.checkpoints.read_rows(KEY, 1) == [{"epoch": i} for i in range(1, 5)]
    assert store.checkpoints.names(KEY) == ["last", "rows-0.json", "rows-2.json", "step"]
    assert store.checkpoints.fetch(KEY, "last", tmp_path / "last")
    assert not store.checkpoints.fetch(KEY, "nothing", tmp_path / "nothing")
    assert (tmp_path / "last").read_bytes() == b"abc"
    store.checkpoints.clear(KEY)
    store.checkpoints.clear(KEY)
    assert store.checkpoints.names(KEY) == []

    assert store.studies.read_lines("s/journal") == []
    for n in range(11):
        store.studies.append_line("s/journal", {"n": n})
    assert store.studies.read_lines("s/journal") == [{"n": n} for n in range(11)]
    assert store.studies.read_json("s/a.json") is None
    store.studies.write_json("s/a.json", {"a": 1})
    assert store.studies.read_json("s/a.json") == {"a": 1}
