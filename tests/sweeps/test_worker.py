"""What a worker does with a stage, without a cluster; toys count instead of training."""

import json

import pytest

from tests.sweeps.toys import Toy
from vpbsd_sweeps.execution.jobs import job_of
from vpbsd_sweeps.execution.worker import execute, run_follower
from vpbsd_sweeps.store.results import Store


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
