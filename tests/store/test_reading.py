"""Some files of a result read alone: the same care as for all of it."""

from uuid import uuid4

import pytest

from vpbsd_sweeps.store.results import Absent, Damaged, Store

KEY = "a1"


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    return Store(
        str(tmp_path / "s [1]*") if request.param == "local" else f"memory://{uuid4().hex}"
    )


@pytest.fixture
def made(tmp_path):
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "rows.json").write_text("[1, 2]")
    (folder / "summary.json").write_text("{}")
    (folder / "weights.bin").write_bytes(b"abc")
    return folder


def test_only_files_that_fit_are_read(store, made, monkeypatch):
    store.commit(KEY, made, {})
    asked, read_many = [], store.files.read_many
    watched = lambda names: read_many(asked.extend(names) or asked)  # noqa: E731
    monkeypatch.setattr(store.files, "read_many", watched)
    assert store.read(KEY, "*.json", "*.png") == {"rows.json": b"[1, 2]", "summary.json": b"{}"}
    assert not [name for name in asked if "weights" in name]
    assert store.read_json(KEY, "rows.json") == [1, 2]


def test_what_is_not_there_is_absent_and_what_is_damaged_set_aside(store, made):
    with pytest.raises(Absent):
        store.read(KEY, "*.json")
    manifest = store.commit(KEY, made, {})
    store.files.write(f"results/{KEY}/{manifest.attempt}/rows.json", b"[1, 3]")
    assert store.read(KEY, "summary.json") == {"summary.json": b"{}"}
    with pytest.raises(Damaged, match=r"rows\.json is not what was committed"):
        store.read(KEY, "*.json")
    assert store.state(KEY) == "absent"


def test_an_outage_is_not_taken_for_damage(store, made, monkeypatch):
    """What cannot be read for a moment must not look like a file that has vanished."""
    store.commit(KEY, made, {})
    cat_file = store.files.fs.cat_file

    def away(path, *parts, **options):
        if path.endswith("/rows.json"):
            raise OSError("503 Service Unavailable")
        return cat_file(path, *parts, **options)

    monkeypatch.setattr(store.files.fs, "cat_file", away)
    with pytest.raises(OSError, match="503"):
        store.read(KEY, "rows.json")
    assert store.state(KEY) == "stored"
