"""Leases on every kind of store: creation excludes, a number fences, silence is one's own."""

import os
import pickle
import threading
import time

import pytest

from vpbsd_sweeps.store import files, lease
from vpbsd_sweeps.store.files import FileStore
from vpbsd_sweeps.store.lease import Hold, Lease, LeaseLost, Silence, Term
from vpbsd_sweeps.store.results import Store


def lease_in(store):
    return Lease(store.files, "leases/ab", "stage ab")


def test_a_lease_is_held_by_one_at_a_time(store):
    held = lease_in(store)
    assert held.look() is None
    first = held.take(None)
    assert held.take(None) is None, "both had seen that it was free"
    assert held.look() == first
    assert not first.is_over
    second = held.take(first)
    assert (first.number, second.number) == (1, 2)
    assert len(store.files.sizes("leases/ab")) == 1, "earlier terms are tidied away"
    held.check(second)
    for late in (held.check, held.renew):
        with pytest.raises(LeaseLost, match=rf"^stage ab was taken over by process {os.getpid()}"):
            late(first)
    held.end(first)
    assert held.look() == second, "a lost one ends nothing"
    held.end(second)
    assert held.look().is_over
    assert held.take(held.look()).number == 3, "the number only grows"


def test_a_forgotten_lease_leaves_nothing(store):
    held = lease_in(store)
    term = held.take(None)
    held.end(term, forget=True)
    assert held.look() is None
    with pytest.raises(LeaseLost):
        held.check(term)
    again = held.take(None)
    with pytest.raises(LeaseLost):
        held.check(term)
    assert (again.number, again.id != term.id) == (term.number, True)


def test_one_that_creates_a_number_that_was_tidied_away_has_not_won(store):
    held = lease_in(store)
    first = held.take(None)
    third = held.take(held.take(first))
    assert held.take(first) is None
    assert held.look() == third


def test_one_of_many_threads_wins(tmp_path):
    store = Store(str(tmp_path / "store"))
    barrier, won = threading.Barrier(8), []

    def run():
        mine = lease_in(Store(store.url))
        barrier.wait(30)
        won.append(mine.take(None))

    for _ in range(20):
        threads = [threading.Thread(target=run) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len([term for term in won if term]) == 1
        won.clear()
        store.files.remove_folder("leases/ab")


def test_a_file_system_without_links_creates_once_too(tmp_path, monkeypatch):
    def no_links(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(files.os, "link", no_links)
    store = FileStore(str(tmp_path))
    store.create("a", b"first")
    with pytest.raises(FileExistsError):
        store.create("a", b"second")
    assert store.read("a") == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_answer_that_is_lost_loses_no_lease(store, monkeypatch):
    """The file was created, but a retry finds it there: its own."""
    create = FileStore.create
    monkeypatch.setattr(lease, "patiently", lambda step, **_: (step(), step())[1])
    term = lease_in(store).take(None)
    assert term is not None
    monkeypatch.setattr(FileStore, "create", create)
    with pytest.raises(FileExistsError):
        store.files.create("leases/ab/00000001.json", b"another")


def test_a_holder_beats_and_learns_that_it_has_lost(store, monkeypatch):
    monkeypatch.setattr(lease, "beat_every", lambda: 0.02)
    held, lost = lease_in(store), threading.Event()
    hold = Hold(held, held.take(None))
    with hold.beating(lost.set):
        deadline = time.monotonic() + 10
        while hold.term.beats < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert held.look().beats >= 3
        second = held.take(held.look())
        assert lost.wait(10)
    assert hold.lost
    assert held.look() == second
    with pytest.raises(LeaseLost):
        hold.check()


def test_silence_is_time_in_which_one_could_have_heard(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(lease.time, "monotonic", lambda: now[0])
    silence, term = Silence(), Term(1, beats=4)

    def after(seconds, term):
        now[0] += seconds
        return silence.seconds(term)

    assert [after(s, term) for s in (0, 1, 5, 10)] == [0, 1, 6, 16]
    assert not silence.heard
    assert after(600, term) == 26, "the store was away, or this process suspended"
    assert after(1, Term(1, beats=5)) == 0
    assert silence.heard
    assert after(1, Term(2, beats=5)) == 0


def test_a_term_whose_file_is_not_whole_yet_is_somebodys(store):
    store.files.write("leases/ab/00000003.json", b"")
    term = lease_in(store).look()
    assert (term.number, term.is_over) == (3, False)


def test_a_term_that_is_tidied_away_during_a_look_is_not_the_newest(store, monkeypatch):
    """A driver may be suspended between the two requests, and another take over meanwhile."""
    lease = lease_in(store)
    first = lease.take(None)
    read, later = FileStore.read, []

    def suspended(self, name):
        if not later:
            later.append(None)
            later[0] = lease.take(first)
        return read(self, name)

    monkeypatch.setattr(FileStore, "read", suspended)
    assert lease.look() == later[0]
    with pytest.raises(LeaseLost, match=f"taken over by process {os.getpid()} on"):
        lease.check(first)


def test_only_a_process_of_this_machine_is_known_to_be_dead(monkeypatch):
    dead = Term(1, pid=2**22 + 1, machine=lease.machine())
    assert dead.is_over
    monkeypatch.setattr(lease, "machine", lambda: "a container with the same host name")
    assert not dead.is_over


def test_a_lease_travels(store):
    term = lease_in(store).take(None)
    pickle.loads(pickle.dumps(lease_in(store))).check(pickle.loads(pickle.dumps(term)))


def test_a_store_that_ignores_the_condition_is_told_of(monkeypatch, caplog):
    store = Store("memory://told")
    store.files.check_writable()
    assert not caplog.text
    pipe = type(store.files.fs).pipe_file
    monkeypatch.setattr(
        type(store.files.fs),
        "pipe_file",
        lambda self, path, value, mode="": pipe(self, path, value),
    )
    store.files.check_writable()
    assert (
        "two drivers or clusters that start in the same moment are not kept apart" in caplog.text
    )


@pytest.mark.slow
def test_a_lease_on_s3(bucket, caplog):
    store = Store("s3://results/runs")
    store.files.check_writable()
    assert "are not kept apart" not in caplog.text
    held = lease_in(store)
    first = held.take(None)
    assert held.take(None) is None
    assert held.renew(first).beats == 1
    second = held.take(held.look())
    with pytest.raises(LeaseLost):
        held.renew(first)
    held.end(second, forget=True)
    assert "Contents" not in bucket.list_objects_v2(Bucket="results")
    store.files.create("x", b"mine")
    store.files.create("x", b"mine")
    with pytest.raises(FileExistsError):
        store.files.create("x", b"another")
