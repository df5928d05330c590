"""What is seen of a study while it runs, worked out by hand."""

import json
from types import SimpleNamespace

import pytest

from vpbsd_sweeps.execution.events import StageState, StageStatus
from vpbsd_sweeps.monitor import terminal
from vpbsd_sweeps.monitor.accounting import Tally
from vpbsd_sweeps.monitor.sweep_display import SweepDisplay
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.inventory import Inventory

PRE, STUDENT, OTHER, SCORED, WORSE = (letter * 64 for letter in "abcde")


def outline(*before):
    """A pre-training that two trials ask for, a student and an evaluation of each."""
    families = {
        PRE: "pre-training",
        STUDENT: "student",
        OTHER: "student",
        SCORED: "evaluation",
        WORSE: "evaluation",
    }
    return {
        "stages": [
            {
                "key": key,
                "family": family,
                "label": family,
                "guess": 60.0,
                "before": key in before,
                "asked": 2 if key == PRE else 1,
            }
            for key, family in families.items()
        ],
        "trials": [
            {"arm": "vpbsd", "key": SCORED, "voided_by": [PRE, STUDENT]},
            {"arm": "kd", "key": WORSE, "voided_by": [OTHER]},
            {"arm": "fitnets", "key": WORSE, "voided_by": [OTHER]},
        ],
    }


@pytest.fixture
def commit(tmp_path):
    store = Store(str(tmp_path / "store"))

    def commit(key, family, seconds=3600.0, dsc=0.5, **metadata):
        folder = tmp_path / key
        folder.mkdir()
        (folder / "rows.json").write_text(json.dumps([{"dsc": dsc}, {"dsc": dsc + 0.2}]))
        known = {"family": family, "void": None, "seconds": seconds, "threads": 2.0}
        store.commit(key, folder, known | metadata)

    commit.store = store
    return commit


def test_hours_are_spent_once_and_saved_by_all_others(commit):
    """Two threads for an hour; the second trial does not train the teacher again."""
    commit(PRE, "pre-training")
    commit(STUDENT, "student", 1800.0)
    tally = Tally(outline(), commit.store)
    for _ in range(2):  # what was seen counts once
        tally.take([PRE, STUDENT, OTHER])
    assert tally.hours() == "3 core-hours spent, 2 core-hours saved by sharing"
    again = Tally(outline(PRE), commit.store)
    again.take([PRE, STUDENT])
    assert again.hours() == "1 core-hours spent, 4 core-hours saved by sharing"


def test_on_gpus_hours_are_shares_of_whole_ones(commit):
    commit(PRE, "pre-training", peak_gpu_memory_gb=8.0)
    commit(STUDENT, "student", peak_gpu_memory_gb=1.0)
    tally = Tally(outline(), commit.store)
    tally.take([PRE, STUDENT])
    assert tally.hours() == "1.2 GPU-hours spent, 1 GPU-hours saved by sharing"


def test_the_best_arm_so_far_void_ones_left_out(commit):
    commit(SCORED, "evaluation", dsc=0.6)
    commit(WORSE, "evaluation", dsc=0.5)
    tally = Tally(outline(), commit.store)
    assert tally.best() == ""
    tally.take([SCORED, WORSE])
    assert tally.best() == "best so far: VpbSD, test DSC 0.700 over 1 of its trials"
    assert tally.ended == 3, "two trials end with one evaluation"
    commit(PRE, "pre-training", void="codes collapsed")
    tally.take([PRE])
    assert tally.best().endswith("test DSC 0.600 over 1 of its trials")
    assert "VpbSD" not in tally.best()


def status(key, state, share=0.0):
    return StageStatus(key, "student", f"label {key[0]}", state, share, 1, 1.0, "")


def test_a_plain_line_holds_all_of_it_and_comes_when_something_is_new(commit, monkeypatch, capsys):
    commit(SCORED, "evaluation", dsc=0.6)
    stages = tuple(
        SimpleNamespace(key=key, family="student", label=key[0])
        for key in (STUDENT, OTHER, WORSE, SCORED)
    )
    absent = dict.fromkeys((STUDENT, OTHER, WORSE), "absent")
    inventory = Inventory("s", stages, absent | {SCORED: "stored"}, {})
    monkeypatch.setattr(Inventory, "costs", lambda self: {s.key: 60.0 for s in self.stages})
    monkeypatch.setattr(terminal, "PLAIN_EVERY", 0.0)
    display = SweepDisplay(inventory, 2, Tally(outline(SCORED), commit.store))
    seen = [
        status(STUDENT, StageState.RUNNING, 0.25),
        status(OTHER, StageState.QUEUED),
        status(WORSE, StageState.QUEUED),
    ]
    with display:
        display.show(seen)
        display.show(seen)
    line, *more = capsys.readouterr().err.splitlines()
    assert more == [], "nothing is new"
    assert line.partition("; about")[0] == (
        "[0 s] 0/3 stages; running label b 25%; 2 waiting; best so far: VpbSD, test DSC 0.700 "
        "over 1 of its trials; 0 core-hours spent, 2 core-hours saved by sharing"
    )
    table = display._table(seen)
    row = next(
        row for row in zip(*(c.cells for c in table.columns), strict=True) if row[0] == "student"
    )
    assert row == ("student", "1", "0", "1", "2", "0", "0")
