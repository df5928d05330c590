"""Two clusters on one store train each stage once; `tests/sweeps/rayless.py` plays them."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.sweeps.rayless import EPOCHS, STAGES, toys
from tests.sweeps.toys import Toy
from vpbsd_sweeps.execution.jobs import job_of
from vpbsd_sweeps.execution.stage_leases import holding, stage_lease
from vpbsd_sweeps.execution.worker import execute
from vpbsd_sweeps.store import lease
from vpbsd_sweeps.store.checkpoints import Checkpoints
from vpbsd_sweeps.store.lease import LeaseLost
from vpbsd_sweeps.store.results import Store

STALE = 3.0
ALL_STORED = str(["stored"] * STAGES)


@pytest.fixture
def home(tmp_path):
    (tmp_path / "epochs.log").touch()
    return tmp_path


@pytest.fixture
def store(home):
    return Store(str(home / "store"))


@pytest.fixture
def start(home):
    """Starts a cluster by its name."""
    here = Path(__file__).parents[2]
    path = os.pathsep.join([str(here), *sys.path])
    begun = []

    def start(name):
        with (home / f"{name}.errors").open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.sweeps.rayless", str(home), name],
                cwd=here,
                env=os.environ | {"PYTHONPATH": path, "VPBSD_LEASE_SECONDS": str(STALE)},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        begun.append(process)
        assert process.stdout.readline() == "begins\n"
        return process

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def epochs(home):
    return (home / "epochs.log").read_text().splitlines()


def wait_for(home, count):
    deadline = time.monotonic() + 60
    while len(epochs(home)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ends(process):
    out, _ = process.communicate(timeout=60)
    return out.splitlines()


def test_two_clusters_train_each_stage_once_and_both_hear_of_it(home, start, store):
    both = [start(name) for name in "ab"]
    heard = [ends(process) for process in both]
    assert [lines[-1] for lines in heard] == [ALL_STORED] * 2
    assert Counter(epochs(home)) == {
        f"{toy.label} {n}": 1 for toy in toys(home) for n in range(EPOCHS)
    }
    rows = [{line.split()[0] for line in lines[:-1]} for lines in heard]
    assert rows[0] | rows[1] == {toy.label for toy in toys(home)}
    assert rows[0] & rows[1], "some rows were heard from the other cluster"
    assert not [path for path in (home / "store" / "leases").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "how", [pytest.param(signal.SIGKILL, marks=pytest.mark.slow), signal.SIGSTOP]
)
def test_what_a_lost_cluster_trained_is_taken_over_from_its_checkpoint(home, start, store, how):
    first = start("a")
    wait_for(home, 4)
    second = start("b")
    first.send_signal(how)
    began = time.monotonic()
    assert ends(second)[-1] == ALL_STORED
    assert time.monotonic() - began < 60
    if how is signal.SIGSTOP:
        first.send_signal(signal.SIGCONT)
        assert ends(first)[-1] == ALL_STORED, "it takes what the other has trained"
    counts = Counter(epochs(home))
    assert len(counts) == STAGES * EPOCHS
    assert sum(counts.values()) <= STAGES * EPOCHS + 4, "an epoch of each stage that was lost"
    for toy in toys(home):
        assert (store.open(toy.key) / "sum.json").read_text() == str(EPOCHS)
    assert not [path for path in (home / "store" / "running").rglob("*") if path.is_file()]


def test_a_worker_lets_its_slice_go_where_another_cluster_is_at_work(home, store):
    job = job_of(toys(home)[0])
    with holding(store, job, "a", None) as ours:
        assert ours.id == "a"
        with holding(store, job, "b", None) as theirs:
            assert theirs is None
        with holding(store, job, "a", None) as again:  # Ray runs it again: the worker was lost
            assert again.number == ours.number + 1
    assert stage_lease(store, job).look() is None, "nothing is left of a stage that is done"


def test_a_stage_that_fails_is_free_at_once(home, store):
    job = job_of(toys(home)[0])
    with pytest.raises(ValueError, match="not finite"), holding(store, job, "a", None):
        raise ValueError("the loss is not finite")
    with holding(store, job, "b", None) as theirs:
        assert theirs is not None


def test_a_lapsed_lease_is_taken_only_as_it_was_seen(home, store):
    job = job_of(toys(home)[0])
    held = stage_lease(store, job)
    seen = held.take(None, "a")
    beaten = held.renew(seen)
    with holding(store, job, "b", seen) as theirs:
        assert theirs is None, "its holder has been heard since"
    with holding(store, job, "b", beaten) as theirs:
        assert theirs.id == "b"


@pytest.mark.parametrize("moment", ["checkpoint", "commit"])
def test_a_worker_that_has_lost_its_lease_writes_nothing(home, store, monkeypatch, moment):
    """It was suspended: a checkpoint of its successor, and its result, must not be replaced."""
    monkeypatch.setenv("VPBSD_CHECKPOINT_SECONDS", "0" if moment == "checkpoint" else "1000")
    monkeypatch.setattr(lease, "beat_every", lambda: 1000.0)
    job = job_of(Toy("one", home / "epochs.log"))
    held = stage_lease(store, job)

    def report(first, rows, share):
        if share == 0.5:
            held.take(held.look(), "b")
            store.checkpoints.save(job.key, {"checkpoint.safetensors": b"of the successor"})

    with (
        pytest.raises(LeaseLost, match="^one was taken over by process"),
        holding(store, job, "a", None) as term,
    ):
        execute(job, store, report, lambda: held.check(term))
    assert store.state(job.key) == "absent"
    kept = store.checkpoints.load(job.key, "checkpoint.safetensors")
    assert kept == b"of the successor"
    assert held.look().id == "b", "nor does it end what is another's"
    ran = len(epochs(home))
    assert ran == (3 if moment == "checkpoint" else 4)


def test_a_checkpoint_that_comes_after_the_successors_end_is_tidied_away(home, store, monkeypatch):
    """It was suspended inside a write: another has stored the stage when it wakes up."""
    monkeypatch.setenv("VPBSD_CHECKPOINT_SECONDS", "0")
    monkeypatch.setattr(lease, "beat_every", lambda: 1000.0)
    job = job_of(Toy("one", home / "epochs.log"))
    held = stage_lease(store, job)
    save = Checkpoints.save

    def late(self, key, files):
        monkeypatch.setattr(Checkpoints, "save", save)
        held.take(held.look(), "b")
        execute(job, store, lambda *_: None)
        save(self, key, files)

    monkeypatch.setattr(Checkpoints, "save", late)
    with pytest.raises(LeaseLost), holding(store, job, "a", None) as term:
        execute(job, store, lambda *_: None, lambda: held.check(term))
    assert store.state(job.key) == "stored"
    assert store.checkpoints.names(job.key) == []
