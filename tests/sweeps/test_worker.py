"""What a worker does with a stage, without a cluster; toys count instead of training."""

import json

import pytest

from tests.sweeps.toys import Toy
from vpbsd_sweeps import patience
from vpbsd_sweeps.execution.jobs import job_of
from vpbsd_sweeps.execution.worker import execute, run_follower
from vpbsd_sweeps.store.checkpoints import Checkpoints
from vpbsd_sweeps.store.results import Absent, Store


@pytest.fixture
def diary(tmp_path, monkeypatch):
    monkeypatch.setenv("VPBSD_CHECKPOINT_SECONDS", "0")
    (tmp_path / "diary").touch()
    return tmp_path / "diary"


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


def test_a_stage_that_another_cluster_has_stored_meanwhile_is_not_run(diary, store):
    told = []
    for _ in range(2):
        execute(job_of(Toy("one", diary)), store, lambda *news: told.append(news))
    assert diary.read_text().split() == ["one", "0", "one", "1", "one", "2", "one", "3"]
    assert len(told) == 4


def test_a_process_that_only_computes_stores_and_tells_nothing(diary, store, tmp_path):
    toy = Toy("one", diary)
    saved = tmp_path / "saved"
    saved.write_text(json.dumps([{"epoch": 1.0}, {"epoch": 2.0}]))
    store.checkpoints.save(toy.key, {"checkpoint.safetensors": saved})
    run_follower(job_of(toy), store)
    assert diary.read_text().split() == ["one", "2", "one", "3"], "it goes on where the others do"
    assert store.state(toy.key) != "stored"
    assert store.checkpoints.names(toy.key) == ["checkpoint.safetensors"]
    assert store.checkpoints.read_rows(toy.key, 0) == []


def test_a_resumed_stage_reports_the_rows_of_its_checkpoint_again(diary, store, tmp_path):
    """Whoever follows it numbers rows from the first epoch on."""
    toy, reports = Toy("one", diary), []
    saved = tmp_path / "saved"
    saved.write_text(json.dumps([{"epoch": 1.0, "time": 0.0}, {"epoch": 2.0, "time": 0.0}]))
    store.checkpoints.save(toy.key, {"checkpoint.safetensors": saved})
    store.checkpoints.append_rows(toy.key, 0, json.loads(saved.read_text()))
    execute(job_of(toy), store, lambda first, rows, share: reports.append((first, rows)))
    epochs = [(first, [row["epoch"] for row in rows]) for first, rows in reports]
    assert epochs == [(0, [1.0, 2.0, 3.0]), (3, [4.0])]


def fail(monkeypatch, method, times):
    """Makes a method of the store fail so many times; returns how often it was called."""
    owner = Store if hasattr(Store, method) else Checkpoints
    calls, real = [], getattr(owner, method)

    def flaky(self, *args):
        calls.append(method)
        if len(calls) <= times:
            raise OSError("503 Service Unavailable")
        return real(self, *args)

    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(owner, method, flaky)
    return calls


@pytest.mark.parametrize("method", ["state", "open", "fetch", "commit", "clear"])
def test_a_store_that_is_away_for_a_while_costs_a_stage_nothing_but_time(
    method, diary, store, monkeypatch
):
    first = Toy("one", diary)
    second = Toy("two", diary, {"start": first})
    execute(job_of(first), store, lambda *_: None)
    calls = fail(monkeypatch, method, times=3)
    execute(job_of(second), store, lambda *_: None)
    assert len(calls) > 3
    assert store.state(second.key) == "stored"
    assert diary.read_text().split().count("two") == 4, "no epoch is run twice"


def test_a_checkpoint_that_cannot_be_written_is_skipped(diary, store, monkeypatch):
    calls = fail(monkeypatch, "save", times=2)
    execute(job_of(Toy("one", diary)), store, lambda *_: None)
    assert len(calls) == 4, "each epoch is another try"
    assert store.state(Toy("one", diary).key) == "stored"


def test_an_input_that_is_gone_is_told_at_once(diary, store, monkeypatch):
    calls = fail(monkeypatch, "open", 0)
    with pytest.raises(Absent):
        execute(job_of(Toy("two", diary, {"start": Toy("one", diary)})), store, lambda *_: None)
    assert len(calls) == 1
