"""A store that is away for a while: what the driver asks of it arrives all the same."""

import threading
import time

import pytest

from vpbsd_sweeps import patience
from vpbsd_sweeps.patience import asks_store, insisting
from vpbsd_sweeps.store import files
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.tuning.journal import Journal, TrialOutcome

KEY = "ab" * 32
SHORT = {"config_kwargs": {"retries": {"max_attempts": 0}}}


@pytest.fixture
def result(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "rows.json").write_text("[]")
    return tmp_path / "out"


def back_in(server, seconds):
    def later():
        time.sleep(seconds)
        server.away = False

    server.away = True
    threading.Thread(target=later, daemon=True).start()


def test_a_blink_of_s3_is_not_noticed(s3, result):
    """Each of these goes through without any patience of ours: 503 is asked again."""
    store = Store("s3://results/store")
    for step in (
        lambda: store.commit(KEY, result, {"seconds": 1.0}),
        lambda: store.state(KEY),
        lambda: store.studies.append_line("s/search.jsonl", {"event": "asked"}),
    ):
        s3.blinks = 2
        step()
    assert s3.refused == 6
    assert store.state(KEY) == "stored"


def test_a_driver_waits_for_its_store(s3, result, monkeypatch):
    """The clock is shrunk: without patience a second is too long, with it all of it arrives."""
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.2)
    monkeypatch.setattr(files, "retries", lambda url: SHORT)  # as if a second were minutes
    store = Store("s3://results/store")
    monkeypatch.setattr(type(store.files.fs), "retries", 1)
    store.commit(KEY, result, {"seconds": 1.0})
    s3.away = True
    with pytest.raises(OSError, match="Errno 16"):
        store.studies.read_json("s/study.json")
    s3.away = False
    with store.studies.guarded("toys", lambda: 3), insisting():
        journal = Journal(store, "toys")
        for step in (
            lambda: journal.ask(0, {"student.gamma": 0.5}),
            lambda: journal.tell(TrialOutcome(0, "complete", (0.7,))),
            lambda: store.open(KEY),
            lambda: store.studies.write_json("toys/running.json", {}),
        ):
            refused = s3.refused
            back_in(s3, 1.0)
            step()
            assert s3.refused > refused
    again = Journal(store, "toys")
    assert (again.asked, again.outcomes) == (journal.asked, journal.outcomes)


def test_patience_ends_and_is_this_threads_alone(monkeypatch):
    monkeypatch.setenv("VPBSD_STORE_PATIENCE", "1")
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.5)
    asked = []

    @asks_store(KeyError)
    def inner(error):
        asked.append(error)
        raise error

    @asks_store()
    def outer(error):
        inner(error)

    with insisting():
        with pytest.raises(OSError, match="away"):
            outer(OSError("away"))
        assert len(asked) == 2, "the outer one is patient, not both: that would be four"
        asked.clear()
        with pytest.raises(KeyError):
            inner(KeyError("no such thing"))
        beside = threading.Thread(target=lambda: pytest.raises(OSError, outer, OSError("away")))
        beside.start()
        beside.join()
        with insisting(False), pytest.raises(OSError, match="away"):
            outer(OSError("away"))
    assert len(asked) == 3, "once each"
