"""One driver per study, and what is seen of a study from another terminal."""

import multiprocessing
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from vpbsd.errors import BadInput
from vpbsd_sweeps.store import lease
from vpbsd_sweeps.store import lock as lock_file
from vpbsd_sweeps.store.files import FileStore
from vpbsd_sweeps.store.lease import LeaseLost
from vpbsd_sweeps.store.lock import holder, study_lock
from vpbsd_sweeps.store.results import Store

STALE = 1.5


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setenv("VPBSD_LEASE_SECONDS", str(STALE))


def is_driven(store):
    try:
        with study_lock("s", store):
            return False
    except BadInput as refused:
        return "is being driven by" in str(refused)


def old_driver(store, **changes):
    """What a driver of an earlier version left."""
    driver = {"id": "x", "host": "elsewhere", "pid": 1, "state": "running", "time": time.time()}
    store.studies.write_json("s/driver.json", driver | changes)


def test_a_second_driver_is_refused_and_learns_where_the_first_is(store):
    with (
        study_lock("s", store),
        pytest.raises(BadInput, match=rf"'s' is being driven by process {os.getpid()} on "),
        study_lock("s", store),
    ):
        raise AssertionError("two drivers")
    assert not is_driven(store)


def race(url, rounds, barrier, won):
    """Tries for one study after the other in the same moment as a rival; holds what it wins."""
    lease.beat_every = lock_file.beat_every = lambda: 0.1
    store = Store(url)
    for number in range(rounds):
        barrier.wait(60)
        try:
            with study_lock(f"s{number}", store):
                won.put(number)
                barrier.wait(60)
        except BadInput:
            barrier.wait(60)


def test_of_two_drivers_in_one_moment_one_gets_in(store, monkeypatch):
    monkeypatch.setenv("VPBSD_LEASE_SECONDS", "60")
    context = multiprocessing.get_context("spawn")
    barrier, won, rounds = context.Barrier(2), context.Queue(), 50
    rivals = [context.Process(target=race, args=(store.url, rounds, barrier, won)) for _ in "ab"]
    for rival in rivals:
        rival.start()
    winners = [won.get(timeout=60) for _ in range(rounds)]
    for rival in rivals:
        rival.join(60)
    assert winners == list(range(rounds))
    assert won.empty()


def test_a_heartbeat_that_fails_is_tried_again(store, monkeypatch):
    write, failed = FileStore.write, []

    def flaky(self, name, content):
        if not failed:
            failed.append(name)
            raise OSError("503 Service Unavailable")
        write(self, name, content)

    with study_lock("s", store):
        monkeypatch.setattr(FileStore, "write", flaky)
        time.sleep(1.5 * STALE)
        assert is_driven(store)
    assert failed


@pytest.mark.parametrize("ahead", [3600.0, -3600.0])
def test_a_clock_that_is_wrong_frees_nothing(store, monkeypatch, ahead):
    now = time.time
    with study_lock("s", store):
        monkeypatch.setattr(time, "time", lambda: now() + ahead)
        assert is_driven(store)


DRIVER = """
import signal, sys, time
from vpbsd.cli import run_main
from vpbsd_sweeps.store.lock import study_lock
from vpbsd_sweeps.store.results import Store

def lost_once(kill, lost=[]):
    return lambda *args: kill(*args) if lost else lost.append(args)

def main():
    store = Store(sys.argv[1])
    if sys.argv[2] == "waits, and misses a signal":
        signal.pthread_kill = lost_once(signal.pthread_kill)
    with study_lock("s", store):
        print("in", flush=True)
        while sys.argv[2].startswith("waits"):
            time.sleep(60)
        while True:
            store.studies.append_line("s/journal", {"by": "first"})
            time.sleep(0.01)

run_main(main)
"""


def first_driver(store, how):
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, store.url, how],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert process.stdout.readline() == "in\n"
    return process


@pytest.mark.parametrize("how", ["writes", "waits", "waits, and misses a signal"])
def test_a_driver_that_was_suspended_stops_when_another_has_taken_over(store, how):
    first = first_driver(store, how)
    try:
        first.send_signal(signal.SIGSTOP)
        with study_lock("s", store):
            before = len(store.studies.read_lines("s/journal"))
            store.studies.append_line("s/journal", {"by": "second"})
            first.send_signal(signal.SIGCONT)
            _, errors = first.communicate(timeout=30)
            entries = store.studies.read_lines("s/journal")
            assert holder("s", store).pid == os.getpid(), "it does not end what is another's"
    finally:
        first.kill()
        first.communicate()
    assert entries[before:] == [{"by": "second"}]
    assert first.returncode == 2
    assert errors.splitlines()[-1].startswith(
        f"error: study 's' was taken over by process {os.getpid()} on {platform.node()}, because"
    )


def test_what_was_written_between_a_look_and_a_suspension_counts_for_nothing(store):
    """Nothing can keep it out of the file; the fencing number keeps it out of the journal."""
    with study_lock("s", store) as first:
        entry = {"by": "first", "fence": first.term.number}
        store.studies.append_line("s/journal", {"by": "first"})
    with study_lock("s", store):
        store.studies.append_line("s/journal", {"by": "second"})
    Store(store.url).studies.append_line("s/journal", entry)
    assert store.studies.read_lines("s/journal") == [{"by": "first"}, {"by": "second"}]


def test_every_write_of_a_lost_study_is_refused(store, monkeypatch):
    monkeypatch.setattr(lease, "beat_every", lambda: 60.0)  # it finds out when it writes
    with study_lock("s", store) as lock:
        taken = lock.lease.take(lock.term)
        for write in (store.studies.write_json, store.studies.append_line):
            with pytest.raises(LeaseLost, match="study 's' was taken over by process"):
                write("s/x.json", {})
        store.studies.write_json("another/x.json", {})
    assert store.studies.read_json("s/x.json") is None
    assert lock.lease.look() == taken
    assert store.studies.read_json("another/x.json") == {}


def test_a_driver_killed_on_this_host_holds_nobody_up(store, monkeypatch):
    monkeypatch.setenv("VPBSD_LEASE_SECONDS", "60")
    first = first_driver(store, "waits")
    assert holder("s", store).pid == first.pid
    first.kill()
    first.communicate()
    assert holder("s", store) is None
    began = time.monotonic()
    assert not is_driven(store)
    assert time.monotonic() - began < 5


def test_a_driver_that_is_silent_elsewhere_is_waited_for_once(store, monkeypatch, caplog):
    monkeypatch.setattr(lease, "machine", lambda: "another")
    store.files.write("studies/s/driver/00000007.json", lease.Term(7, "x", "far", 1).encode())
    began = time.monotonic()
    with study_lock("s", store) as lock:
        assert STALE < time.monotonic() - began < 3 * STALE
        assert lock.term.number == 8
    assert "'s' was driven by process 1 on far: looking whether it still is" in caplog.text
    assert not is_driven(store), "it was ended, not left"


def test_the_lock_of_an_earlier_version_is_read(store, caplog):
    old_driver(store, state="ended")
    assert holder("s", store) is None
    old_driver(store, host=platform.node(), pid=2**22 + 1)
    assert holder("s", store) is None, "it was killed here"
    old_driver(store)
    assert holder("s", store).host == "elsewhere"
    ended = threading.Event()

    def beat():
        while not ended.wait(0.1):
            old_driver(store)

    beating = threading.Thread(target=beat)
    beating.start()
    try:
        with pytest.raises(BadInput, match="driven by process 1 on elsewhere"):
            study_lock("s", store).__enter__()
    finally:
        ended.set()
        beating.join()
    with study_lock("s", store):
        assert holder("s", store).pid == os.getpid()
