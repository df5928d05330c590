"""What running stages keep in the store: files that appear in one step, and rows."""

import tempfile
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vpbsd_sweeps.store.local_files
from tests.store.looking import below
from vpbsd_sweeps.store.results import Store

KEY = "0123abcdef"


def test_running_files_survive_until_they_are_cleared(store, tmp_path):
    checkpoint = tmp_path / "checkpoint"
    checkpoint.write_bytes(b"weights")
    assert store.checkpoints.names(KEY) == []
    store.checkpoints.save(KEY, {"step.json": b"{}", "last.safetensors": checkpoint})
    again = Store(store.url)
    assert again.checkpoints.names(KEY) == ["last.safetensors", "step.json"]
    assert again.checkpoints.load(KEY, "last.safetensors") == b"weights"
    assert again.checkpoints.load(KEY, "other") is None
    assert again.checkpoints.fetch(KEY, "last.safetensors", tmp_path / "new" / "copy")
    assert (tmp_path / "new" / "copy").read_bytes() == b"weights"
    again.checkpoints.save("ff", {"other": b"1"})
    again.checkpoints.clear(KEY)
    assert below(store) == ["running/ff/other"]
    again.checkpoints.clear(KEY)
    assert store.checkpoints.load(KEY, "step.json") is None


def test_a_missing_running_file_is_not_fetched(store, tmp_path):
    target = tmp_path / "out" / "copy"
    assert not store.checkpoints.fetch(KEY, "last", target)
    assert list(target.parent.iterdir()) == []
    target.write_bytes(b"mine")
    assert not store.checkpoints.fetch(KEY, "last", target)
    assert target.read_bytes() == b"mine"


def test_a_fetched_checkpoint_is_not_changed_by_the_next_save(store, tmp_path):
    for step in [b"1", b"2"]:
        checkpoint = tmp_path / "checkpoint"
        checkpoint.unlink(missing_ok=True)
        checkpoint.write_bytes(step)
        store.checkpoints.save(KEY, {"last": checkpoint})
        store.checkpoints.fetch(KEY, "last", tmp_path / step.decode())
    assert (tmp_path / "1").read_bytes() == b"1"
    assert (tmp_path / "2").read_bytes() == b"2"
    store.checkpoints.save(KEY, {"last": checkpoint})  # the very same file once more
    assert below(store) == [f"running/{KEY}/last"]


def test_a_save_that_fails_keeps_the_file_before_it(store, tmp_path):
    store.checkpoints.save(KEY, {"last": b"old"})
    with pytest.raises(FileNotFoundError):
        store.checkpoints.save(KEY, {"last": tmp_path / "nowhere"})
    assert store.checkpoints.load(KEY, "last") == b"old"
    assert below(store) == [f"running/{KEY}/last"]


def test_a_draft_of_a_killed_save_is_not_listed_and_goes_with_the_rest(tmp_path, monkeypatch):
    store = Store(f"{tmp_path}/store")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: None)  # a killed process cleans nothing
        patch.setattr(vpbsd_sweeps.store.local_files, "sync", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.checkpoints.save(KEY, {"last": b"half"})
    assert len(below(store)) == 1
    assert store.checkpoints.names(KEY) == []
    assert store.checkpoints.load(KEY, "last") is None
    store.checkpoints.clear(KEY)
    assert below(store) == []


def numbered(start, stop, by=0):
    return [{"row": n, "by": by} for n in range(start, stop)]


def test_rows_are_read_in_order_up_to_the_first_gap(store):
    assert store.checkpoints.read_rows(KEY, 0) == []
    for first in [9, 0, 12, 3]:  # 6, 7 and 8 are missing
        store.checkpoints.append_rows(KEY, first, numbered(first, first + 3))
    assert store.checkpoints.read_rows(KEY, 0) == numbered(0, 6)
    assert store.checkpoints.read_rows(KEY, 2) == numbered(2, 6)
    assert store.checkpoints.read_rows(KEY, 6) == []
    assert store.checkpoints.read_rows(KEY, 10) == numbered(10, 15)
    assert store.checkpoints.read_rows(KEY, 15) == store.checkpoints.read_rows(KEY, 99) == []
    store.checkpoints.append_rows(KEY, 6, numbered(6, 9))
    assert store.checkpoints.read_rows(KEY, 4) == numbered(4, 15)
    assert "rows-12.json" in store.checkpoints.names(KEY)


def test_batches_before_the_start_are_not_read(store, monkeypatch):
    for first in [0, 3, 6]:
        store.checkpoints.append_rows(KEY, first, numbered(first, first + 3))
    names, read = [], store.files.read
    monkeypatch.setattr(store.files, "read", lambda name: (names.append(name), read(name))[1])
    assert store.checkpoints.read_rows(KEY, 6) == numbered(6, 9)
    assert names == [f"running/{KEY}/rows-6.json"]


def test_the_same_rows_again_change_nothing(store):
    for first in [0, 3, 0, 3, 0]:
        store.checkpoints.append_rows(KEY, first, numbered(first, first + 3))
    assert store.checkpoints.read_rows(KEY, 0) == numbered(0, 6)
    store.checkpoints.append_rows(KEY, 3, numbered(3, 6, by=1))
    assert store.checkpoints.read_rows(KEY, 0) == numbered(0, 3) + numbered(3, 6, by=1)


def test_a_resumed_stage_replaces_the_rows_after_its_checkpoint(store):
    for first in [0, 3, 6]:
        store.checkpoints.append_rows(KEY, first, numbered(first, first + 3))
    store.checkpoints.append_rows(KEY, 4, numbered(4, 7, by=1))  # resumed at row 4
    assert store.checkpoints.read_rows(KEY, 0) == numbered(0, 4) + numbered(4, 7, by=1)
    store.checkpoints.append_rows(KEY, 7, numbered(7, 10, by=1))
    assert store.checkpoints.read_rows(KEY, 0) == numbered(0, 4) + numbered(4, 10, by=1)
    assert store.checkpoints.read_rows(KEY, 5) == numbered(5, 10, by=1)


def test_rows_are_counted_from_zero(store):
    with pytest.raises(ValueError, match="counted from 0"):
        store.checkpoints.append_rows(KEY, -1, [])
    with pytest.raises(ValueError, match="counted from 0"):
        store.checkpoints.read_rows(KEY, -1)


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
            store.checkpoints.append_rows(KEY, firsts[n], batches[n])
        assert store.checkpoints.read_rows(KEY, start) == everything[start:]
        store.checkpoints.clear(KEY)
