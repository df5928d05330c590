"""What running stages and studies keep in the store: whole files, rows, journals."""

import math
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vpbsd_sweeps.store.files
import vpbsd_sweeps.store.results
from tests.store.looking import below
from vpbsd_sweeps.store.results import Store

KEY = "0123abcdef"


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
        patch.setattr(vpbsd_sweeps.store.files, "sync", lambda _: 1 / 0)
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
