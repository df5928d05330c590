"""One driver per study, and what is seen of a study from another terminal."""

import os
import subprocess
import sys
import time

import pytest

from vpbsd.errors import BadInput
from vpbsd_sweeps.store import lock
from vpbsd_sweeps.store.lock import holder, study_lock
from vpbsd_sweeps.store.results import Store


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


def beat(store, **changes):
    driver = {"id": "x", "host": "elsewhere", "pid": 1, "state": "running", "time": time.time()}
    store.studies.write_json("s/driver.json", driver | changes)


def test_a_second_driver_is_refused_and_learns_where_the_first_is(store):
    beat(store)
    with (
        pytest.raises(BadInput, match=r"'s' is being driven by process 1 on elsewhere"),
        study_lock("s", store),
    ):
        raise AssertionError("two drivers")


@pytest.mark.parametrize(
    "changes", [{"time": 0.0}, {"state": "ended"}], ids=["a minute of silence", "ended"]
)
def test_a_stale_lock_holds_nobody_up(store, changes):
    beat(store, **changes)
    with study_lock("s", store):
        assert holder("s", store)["pid"] == os.getpid()
    assert holder("s", store) is None


def test_a_driver_killed_on_this_host_holds_nobody_up(store):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    beat(store, host=lock.platform.node(), pid=child.pid)
    assert holder("s", store) is None
    beat(store, host=lock.platform.node(), pid=os.getpid())
    assert holder("s", store) is not None


def test_the_heart_beats(store, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.02)
    with study_lock("s", store):
        first = holder("s", store)["time"]
        deadline = time.monotonic() + 10
        while holder("s", store)["time"] == first and time.monotonic() < deadline:
            time.sleep(0.01)
        assert holder("s", store)["time"] > first
