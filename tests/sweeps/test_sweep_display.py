"""What is seen of a study while it runs, worked out by hand."""

import json
from types import SimpleNamespace

import pytest

from vpbsd_sweeps.commands import status as status_command
from vpbsd_sweeps.execution.events import StageState, StageStatus
from vpbsd_sweeps.monitor import terminal
from vpbsd_sweeps.monitor.accounting import Tally
from vpbsd_sweeps.monitor.sweep_display import SweepDisplay
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.inventory import FAMILIES, Inventory

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
            {"arm": "vpbsd", "fold": 0, "key": SCORED, "voided_by": [PRE, STUDENT]},
            {"arm": "kd", "fold": 0, "key": WORSE, "voided_by": [OTHER]},
            {"arm": "fitnets", "fold": 0, "key": WORSE, "voided_by": [OTHER]},
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


def test_the_best_student_so_far_void_ones_left_out(commit):
    commit(SCORED, "evaluation", dsc=0.6)
    tally = Tally(outline(), commit.store)
    tally.take([SCORED])
    assert tally.best() == "", "the others have not ended"
    commit(WORSE, "evaluation", dsc=0.5)
    tally.take([WORSE])
    assert tally.best() == "best so far: VpbSD, test DSC 0.700 over 1 fold"
    assert tally.ended == 3, "two trials end with one evaluation"
    commit(PRE, "pre-training", void="codes collapsed")
    tally.take([PRE])
    assert tally.best().endswith("test DSC 0.600 over 1 fold")
    assert "VpbSD" not in tally.best()


def test_students_are_compared_on_the_folds_that_all_have(commit):
    """VpbSD .9 and .3 + .1 on folds 0 and 1; KD .6 + .1 on fold 1 alone: fold 1 decides. Masks of
    another tool, the best of all, do not compete."""
    trials = [("vpbsd", 0, "1"), ("vpbsd", 1, "2"), ("kd", 0, "3"), ("kd", 1, "4")]
    trials += [("teacher", 0, "5"), ("external:tool", 0, "6"), ("external:tool", 1, "7")]
    plan = {
        "stages": [
            {"key": key * 64, "family": "evaluation", "before": False} for _, _, key in trials
        ],
        "trials": [
            {"arm": arm, "fold": fold, "key": key * 64, "voided_by": []}
            for arm, fold, key in trials
        ],
    }
    for key, dsc in {"1": 0.9, "2": 0.3, "4": 0.6, "6": 1.0, "7": 1.0}.items():
        commit(key * 64, "evaluation", dsc=dsc)
    tally = Tally(plan, commit.store)
    tally.take(key * 64 for _, _, key in trials)
    assert tally.best() == "best so far: KD, test DSC 0.700 over 1 fold"
    for trial in plan["trials"]:
        del trial["fold"]
    older = Tally(plan, commit.store)
    older.take(key * 64 for _, _, key in trials)
    assert older.best() == "best so far: KD, test DSC 0.700 over 1 trial"


def test_a_student_that_failed_everywhere_hides_no_other(commit):
    trials = [("vpbsd", "1"), ("kd", "2"), ("fitnets", "3")]
    plan = {
        "stages": [{"key": k * 64, "family": "evaluation", "before": False} for _, k in trials],
        "trials": [{"arm": a, "fold": 0, "key": k * 64, "voided_by": []} for a, k in trials],
    }
    tally = Tally(plan, commit.store)
    for key, said in {"1": "", "2": "best so far: VpbSD, test DSC 0.800 over 1 fold"}.items():
        commit(key * 64, "evaluation", dsc={"1": 0.7, "2": 0.6}[key])
        tally.take([key * 64])
        assert tally.best() == said


def status(key, state, share=0.0):
    return StageStatus(key, "student", f"label {key[0]}", state, share, 1, 1.0, "")


def test_a_plain_line_holds_all_of_it_and_comes_when_something_is_new(commit, monkeypatch, capsys):
    commit(SCORED, "evaluation", dsc=0.6)
    stages = tuple(
        SimpleNamespace(key=key, family="student", label=key[0], upstream={})
        for key in (STUDENT, OTHER, WORSE, SCORED)
    )
    absent = dict.fromkeys((STUDENT, OTHER, WORSE), "absent")
    inventory = Inventory("s", stages, absent | {SCORED: "stored"}, {})
    monkeypatch.setattr(Inventory, "costs", lambda self: {s.key: 60.0 for s in self.stages})
    monkeypatch.setattr(terminal, "PLAIN_EVERY", 0.0)
    display = SweepDisplay(
        inventory, dict.fromkeys(FAMILIES, 2), Tally(outline(SCORED), commit.store)
    )
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
        "[0 s] 0/3 stages; running label b 25%; 2 waiting; 0 core-hours spent, 2 core-hours "
        "saved by sharing"
    )
    table = display._table(seen)
    row = next(
        row for row in zip(*(c.cells for c in table.columns), strict=True) if row[0] == "student"
    )
    assert row == ("student", "1", "0", "1", "2", "0", "0")


def test_a_bar_per_running_stage_within_80_columns():
    named = [
        StageStatus(letter * 64, "student", label, StageState.RUNNING, share, 1, 7 * 3600.0, "")
        for letter, label, share in (
            ("a", "vpbsd, fold 0, seed 1", 0.5),
            ("b", "pseudo of unlabelled patches of a teacher, folds 0, 1, 2, 3, seed 1", 1.0),
        )
    ]
    first, second = map(str, terminal.running([*named, status(OTHER, StageState.QUEUED)]))
    assert "vpbsd, fold 0, seed 1" in first
    assert first.count("━") == first.count("─") == 7
    assert second.count("─") == 0
    assert second.split("…")[1].startswith(" folds 0, 1, 2, 3, seed 1"[-24:])
    assert max(len(first), len(second)) <= 80


def test_follow_ends_with_the_driver(tmp_path, monkeypatch, capsys):
    """Driven twice, then not: three looks, the last one at the end."""
    store, drivers = Store(str(tmp_path)), iter([True, True, False])
    store.studies.write_json("s/outline.json", outline())
    monkeypatch.setattr(status_command, "holder", lambda *_: next(drivers) or None)
    monkeypatch.setattr(status_command, "EVERY", 0.0)
    monkeypatch.setattr("sys.argv", ["status", "s", "--follow", "--store", str(tmp_path)])
    status_command.main()
    assert capsys.readouterr().out.count("study s: ") == 3
