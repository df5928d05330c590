"""Where a store is, and what cannot be one."""

import pickle
from uuid import uuid4

import fsspec
import pytest

from tests.store.looking import below
from vpbsd.errors import BadInput
from vpbsd_sweeps.store.results import Store

KEY = "0123abcdef"


def test_local_urls_become_one_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for url in ["runs/x", "./runs/x/", "~/runs/x", f"file://{tmp_path}/runs/../runs/x"]:
        assert Store(url).url == f"{tmp_path}/runs/x"
        assert Store(url).files.is_local


def test_remote_urls_and_pickled_stores_keep_their_place():
    store = Store("memory://bucket/runs/")
    assert not store.files.is_local
    again = pickle.loads(pickle.dumps(store))
    assert (type(again), again.url) == (Store, store.url)
    store.studies.write_json("s/a.json", {"a": 1})
    assert again.studies.read_json("s/a.json") == {"a": 1}
    assert fsspec.filesystem("memory").exists("/bucket/runs/studies/s/a.json")


@pytest.mark.parametrize("url", ["", "nosuch://bucket/runs"])
def test_a_url_that_means_nothing_is_bad_input(url):
    with pytest.raises(BadInput, match=r"^the store .*: give a folder[^\n]*$"):
        Store(url)


def test_check_writable_leaves_nothing_behind(store, tmp_path):
    before = below(store), sorted(tmp_path.rglob("*"))
    store.files.check_writable()
    assert (below(store), sorted(tmp_path.rglob("*"))) == before
    store.studies.write_json("s/a.json", {})
    store.files.check_writable()
    assert below(store) == ["studies/s/a.json"]


@pytest.mark.parametrize("tail", ["", "/x/y"])
def test_a_store_below_a_file_is_not_writable(tmp_path, tail):
    (tmp_path / "file").touch()
    store = Store(f"{tmp_path}/file{tail}")
    with pytest.raises(BadInput, match=rf"^the store {store.url} [^\n]*: give a folder[^\n]*$"):
        store.files.check_writable()
    assert store.state(KEY) == "absent"


def test_other_errors_of_a_store_are_told_in_one_line(monkeypatch):
    store = Store(f"memory://{uuid4().hex}")

    def refuse(*_, **__):
        raise RuntimeError("no credentials\nat all")

    monkeypatch.setattr(store.files.fs, "pipe_file", refuse)
    with pytest.raises(BadInput, match=r"\(no credentials\): give[^\n]*$"):
        store.files.check_writable()


@pytest.mark.parametrize("key", ["", "ABC", "xyz", "../ab", "ab/cd", "0x1", "ab\n"])
def test_keys_are_lowercase_hexadecimal(store, folder, key):
    calls = [
        lambda: store.state(key),
        lambda: store.manifest(key),
        lambda: store.open(key),
        lambda: store.set_aside(key),
        lambda: store.commit(key, folder, {}),
        lambda: store.checkpoints.load(key, "a"),
        lambda: store.checkpoints.clear(key),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="lowercase hexadecimal"):
            call()
    assert below(store) == []


@pytest.mark.parametrize("name", ["", "/etc/x", "../x", "a/../../x", "a//b", "./a"])
def test_names_stay_inside_their_folder(store, name):
    with pytest.raises(ValueError, match="does not name a file"):
        store.studies.write_json(name, {})
    if name:
        with pytest.raises(ValueError, match="does not name a file"):
            store.checkpoints.save(KEY, {name: b""})
    assert below(store) == []
