"""A result that lost a byte is seen, named and set aside."""

import logging
from uuid import uuid4

import fsspec
import pytest

import vpbsd_sweeps.store.manifest
import vpbsd_sweeps.store.results
from tests.store.looking import below, content
from vpbsd_sweeps.store.results import Damaged, Store

KEY = "0123abcdef"


def spoil(store, manifest, content, name="a.bin"):
    """Overwrites a committed file in the store itself."""
    path = f"{store.url}/results/{KEY}/{manifest.attempt}/{name}"
    files, path = fsspec.core.url_to_fs(path)
    files.rm_file(path)
    if content is not None:
        files.pipe_file(path, content)


@pytest.mark.parametrize("left", [b"ab", b"abcd", b"", None], ids=["cut", "long", "empty", "gone"])
def test_a_file_of_the_wrong_size_is_seen_without_reading(store, folder, monkeypatch, left):
    manifest = store.commit(KEY, folder, {})
    spoil(store, manifest, left)
    with monkeypatch.context() as patch:
        patch.setattr(vpbsd_sweeps.store.manifest, "measure", lambda _: pytest.fail("read a file"))
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
        assert store.files.is_local or not store._place(manifest).exists()
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
    where = store.files.path(f"results/{KEY}/manifest.json")
    store.files.fs.pipe_file(where, change(store.files.fs.cat_file(where)))
    assert store.state(KEY) == "damaged"
    assert store.manifest(KEY) is None
    assert store.commit(KEY, folder, {"again": True}).metadata == {"again": True}
    assert store.state(KEY) == "stored"
    assert "manifest.damaged-1.json" in below(store, f"results/{KEY}")


def test_the_manifest_of_another_key_is_damage(store, folder):
    store.commit(KEY, folder, {})
    root = store.files.path("results")
    store.files.fs.makedirs(f"{root}/ff")
    store.files.fs.cp_file(f"{root}/{KEY}/manifest.json", f"{root}/ff/manifest.json")
    assert store.state("ff") == "damaged"
    assert store.state(KEY) == "stored"


def test_checksums_are_verified_once_per_process(store, folder, monkeypatch):
    manifest = store.commit(KEY, folder, {})
    store.open(KEY)
    with monkeypatch.context() as patch:
        patch.setattr(vpbsd_sweeps.store.manifest, "measure", lambda _: pytest.fail("read again"))
        assert content(Store(store.url).open(KEY)) == content(folder)
    vpbsd_sweeps.store.results._verified.clear()  # another process
    spoil(store, manifest, b"abd")
    if store.files.is_local:
        with pytest.raises(Damaged):
            store.open(KEY)
    else:  # its copy is still what was committed
        assert content(store.open(KEY)) == content(folder)


def test_a_second_process_that_finds_the_damage_first_is_no_error(store, folder, monkeypatch):
    spoil(store, store.commit(KEY, folder, {}), b"abd")
    check = vpbsd_sweeps.store.results.differing

    def overtaken(*args):
        Store.set_aside(store, KEY)
        return check(*args)

    monkeypatch.setattr(vpbsd_sweeps.store.results, "differing", overtaken)
    with pytest.raises(Damaged):
        store.open(KEY)
    assert [name for name in below(store) if "damaged" in name] == [
        f"results/{KEY}/manifest.damaged-1.json"
    ]


def test_a_remote_result_is_downloaded_once_and_its_copy_mended(folder, monkeypatch):
    store = Store(f"memory://{uuid4().hex}")
    store.commit(KEY, folder, {})
    fetched = []
    get = store.files.fs.get
    monkeypatch.setattr(store.files.fs, "get", lambda *args: (fetched.append(args), get(*args)))
    opened = store.open(KEY)
    vpbsd_sweeps.store.results._verified.clear()
    assert store.open(KEY) == opened
    assert len(fetched) == 1
    (opened / "a.bin").write_bytes(b"abd")
    vpbsd_sweeps.store.results._verified.clear()
    assert content(store.open(KEY)) == content(folder)
    assert len(fetched) == 2
    assert store.state(KEY) == "stored"
    assert sorted(path.name for path in opened.parent.iterdir()) == [opened.name]
