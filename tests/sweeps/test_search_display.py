"""What is seen of a search while it runs, worked out by hand."""

import json
import time
from types import SimpleNamespace

import pytest

from vpbsd.errors import BadInput
from vpbsd_sweeps.execution.events import StageState, StageStatus
from vpbsd_sweeps.monitor import search_display, terminal
from vpbsd_sweeps.monitor.search_display import SearchDisplay
from vpbsd_sweeps.monitor.status import standing
from vpbsd_sweeps.monitor.terminal import bar
from vpbsd_sweeps.store.lock import study_lock
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.tuning.journal import Journal, TrialOutcome

TEACHER, FIRST, SECOND, OTHER = (letter * 64 for letter in "abcd")
RUNS = {0: (TEACHER, FIRST), 1: (TEACHER, SECOND), 2: (TEACHER, OTHER)}


class Search(SimpleNamespace):
    """Two folds with the same stages each: one teacher for all configurations."""

    def trials(self, params):
        stages = [SimpleNamespace(key=key) for key in RUNS[params["n"]]]
        return [SimpleNamespace(stage=SimpleNamespace(lineage=lambda: stages))] * 2


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


@pytest.fixture
def commit(store, tmp_path):
    def commit(key, seconds, finished):
        (tmp_path / key).mkdir()
        (tmp_path / key / "rows.json").write_text("[]")
        metadata = {"family": "student", "seconds": seconds, "finished": finished, "threads": 1.0}
        store.commit(key, tmp_path / key, metadata)

    return commit


@pytest.fixture
def journal(store):
    journal = Journal(store, "s")
    journal.claim({"a": 1})
    for number in RUNS:
        journal.ask(number, {"n": number})
    return journal


def test_a_line_has_ends_stages_the_best_hours_and_time_left(store, commit, journal):
    """A teacher of two hours, students of one; the first student was stored a day ago."""
    display = SearchDisplay(Search(name="s"), journal, store, trials=4)
    statuses = [
        StageStatus(OTHER, "student", "vpbsd", StageState.RUNNING, 0.25, 1, 60.0, ""),
        StageStatus("e" * 64, "student", "vpbsd", StageState.QUEUED, 0.0, 1, 0.0, ""),
    ]
    assert display.line(statuses) == (
        "[0 s] 0/4 trials ended; running vpbsd 25%; 1 waiting; 0 core-hours spent on trials that "
        "ended, 0 core-hours saved by sharing; time left is known when a trial has ended"
    )
    commit(TEACHER, 7200.0, time.time() + 1)
    commit(FIRST, 3600.0, time.time() - 86400)
    commit(SECOND, 3600.0, time.time() + 1)
    journal.tell(TrialOutcome(0, "complete", (0.7, 0.8)))
    journal.tell(TrialOutcome(1, "stopped"))
    display.began -= 600
    line = display.line(statuses)
    assert line == display.line(statuses), "each trial counts once"
    assert line == (
        "[10 min] 2/4 trials ended (1 complete, 1 stopped); running vpbsd 25%; 1 waiting; "
        "best so far: DSC 0.750, trial 0; 3 core-hours spent on trials that ended, 3 core-hours "
        "saved by sharing; about 10 min left"
    )


def test_another_terminal_sees_what_the_driver_saw_and_later_how_it_ended(store, journal):
    journal.tell(TrialOutcome(0, "complete", (0.7, 0.8)))
    statuses = [StageStatus(OTHER, "student", "vpbsd", StageState.RUNNING, 0.25, 1, 60.0, "")]
    with study_lock("s", store):
        with SearchDisplay(Search(name="s"), journal, store, trials=4) as display:
            display._counted = {0}
            display.show(statuses)
        first, second, stage = standing("s", store)
    assert first.startswith("search s: driven by process ")
    assert second.startswith("0 s ago: [0 s] 1/4 trials ended (1 complete); running vpbsd 25%")
    assert stage.split() == ["vpbsd", bar(0.25), "25%", "60", "s"]
    assert list(standing("s", store)) == [
        "search s: no driver is running",
        "1 trials ended (1 complete)",
        "best so far: DSC 0.750, trial 0",
        "2 trials were interrupted: the same command goes on",
    ]
    with pytest.raises(BadInput, match="there is no study 'ss'.*did you mean 's'"):
        list(standing("ss", store))


def test_the_note_for_other_terminals_is_written_now_and_then(store, journal, monkeypatch, capsys):
    monkeypatch.setattr(terminal, "PLAIN_EVERY", 0.0)
    display = SearchDisplay(Search(name="s"), journal, store, trials=4)
    display.show([])
    noted = store.studies.read_json("s/standing.json")
    display.show([StageStatus(OTHER, "student", "vpbsd", StageState.RUNNING, 0.25, 1, 60.0, "")])
    assert store.studies.read_json("s/standing.json") == noted
    monkeypatch.setattr(search_display, "NOTED_EVERY", -1.0)
    display.show([])
    assert json.dumps(store.studies.read_json("s/standing.json")) != json.dumps(noted)
    assert len(capsys.readouterr().err.splitlines()) == 3
