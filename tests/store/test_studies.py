"""What studies keep in the store: small files, journals, and the claim on a name."""

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from tests.store.looking import below
from vpbsd.errors import BadInput
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.store.studies import claim, first_difference


def test_study_files_are_replaced(store):
    assert store.studies.read_json("ablation/study.json") is None
    for n in [1, 2]:
        value = {"n": n, "fold": [1, None], "nan": math.inf}
        store.studies.write_json("ablation/study.json", value)
    assert store.studies.read_json("ablation/study.json") == value
    assert below(store) == ["studies/ablation/study.json"]


def test_a_journal_keeps_its_order(store):
    assert store.studies.read_lines("s/journal") == []
    entries = [{"n": n, "text": "two\nlines \u2028 \x85"} for n in range(12)]
    for entry in entries:
        Store(store.url).studies.append_line("s/journal", entry)
    assert store.studies.read_lines("s/journal") == entries


def test_a_torn_journal_line_costs_only_itself(tmp_path, caplog):
    store = Store(str(tmp_path))
    for n in [1, 2]:
        store.studies.append_line("s/journal", {"n": n})
    journal = tmp_path / "studies" / "s" / "journal"
    with journal.open("ab") as file:
        file.write(b'{"n": 3, "te')
    assert store.studies.read_lines("s/journal") == [{"n": 1}, {"n": 2}]
    assert "studies/s/journal" in caplog.text
    store.studies.append_line("s/journal", {"n": 4})
    assert store.studies.read_lines("s/journal") == [{"n": 1}, {"n": 2}, {"n": 4}]
    journal.write_bytes(journal.read_bytes()[:-1])  # only the line's end was lost
    assert store.studies.read_lines("s/journal") == [{"n": 1}, {"n": 2}, {"n": 4}]
    store.studies.append_line("s/journal", {"n": 5})
    assert store.studies.read_lines("s/journal") == [{"n": 1}, {"n": 2}, {"n": 4}, {"n": 5}]


def test_two_writers_of_a_journal_file_lose_nothing(tmp_path):
    def write(writer):
        for n in range(10):
            Store(str(tmp_path)).studies.append_line("s/journal", {"by": writer, "n": n})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    entries = Store(str(tmp_path)).studies.read_lines("s/journal")
    assert len(entries) == 40
    for writer in range(4):
        assert [e["n"] for e in entries if e["by"] == writer] == list(range(10))


def test_two_writers_that_count_alike_lose_nothing_on_an_object_store(monkeypatch):
    store = Store(f"memory://{uuid4().hex}")
    with monkeypatch.context() as patch:
        patch.setattr(store.files, "sizes", lambda _: {})  # neither saw the other's entry
        store.studies.append_line("s/journal", {"by": 1})
        store.studies.append_line("s/journal", {"by": 2})
    store.studies.append_line("s/journal", {"by": 3})
    *both, last = store.studies.read_lines("s/journal")
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
            store.studies.append_line("s/journal", {"n": 1})
    store.studies.append_line("s/journal", {"n": 2})
    assert store.studies.read_lines("s/journal") == [{"n": 2}]


def test_a_free_name_is_recorded_and_one_s_own_is_not_again():
    recorded = []
    claim("study 's'", {"arms": ["kd"]}, None, lambda: recorded.append(1))
    claim("study 's'", {"arms": ["kd"]}, {"arms": ["kd"]}, lambda: recorded.append(2))
    assert recorded == [1]


def test_the_name_of_another_study_is_refused_with_the_first_difference():
    ours, theirs = {"a": 1, "optim": {"epochs": 2}}, {"a": 1, "optim": {"epochs": 3}}
    with pytest.raises(BadInput, match=r"^search 's' .*optim\.epochs: 3 before, 2 now.*--study"):
        claim("search 's'", ours, theirs, lambda: pytest.fail("recorded"))


def test_the_first_difference_is_named_with_both_values():
    before = {"settings": {"student": {"gamma": 1.0, "beta": 1.0}}, "arms": ["a"]}
    now = {"settings": {"student": {"gamma": 0.5, "beta": 1.0}}, "arms": ["a"]}
    assert first_difference(now, before) == "settings.student.gamma: 1.0 before, 0.5 now"
    assert first_difference(now, now) is None
    assert first_difference({"a": 1}, {}) == "a: null before, 1 now"
    assert first_difference({"arms": ["a", "b"]}, {"arms": ["a"]}) == (
        'arms: ["a"] before, ["a","b"] now'
    )
