"""Time left by hand: schedules, paces of families, and how much longer all of it takes."""

import pytest

from vpbsd_sweeps.execution.events import StageState, StageStatus
from vpbsd_sweeps.monitor.time_left import Task, TimeLeft, makespan
from vpbsd_sweeps.study.inventory import FAMILIES

CHAIN = [
    Task("t0", "fine-tuning", 10.0),
    Task("t1", "fine-tuning", 10.0),
    Task("s0", "student", 4.0, ("t0",)),
    Task("s1", "student", 4.0, ("t1",)),
    Task("e0", "evaluation", 1.0, ("s0",)),
    Task("e1", "evaluation", 1.0, ("s1",)),
]

EACH = {n: dict.fromkeys(FAMILIES, n) for n in (1, 2)}
"""So many of each family side by side."""


@pytest.mark.parametrize(
    ("teachers", "students", "seconds"),
    [
        (1, 1, 30.0),  # one after the other
        (1, 4, 25.0),  # a teacher takes all there is: 10, 20, then s1 and e1
        (2, 2, 15.0),  # both folds side by side
        (2, 3, 15.0),  # half of all, and thirds: s0 and s1 fit together
        (1, 3, 25.0),
    ],
)
def test_a_schedule_by_hand(teachers, students, seconds):
    fit = {"fine-tuning": teachers, "student": students, "evaluation": students}
    assert makespan(CHAIN, fit) == seconds


def test_upstream_that_is_not_among_them_is_done():
    assert makespan(CHAIN[2:], EACH[2]) == 5.0
    assert makespan([], EACH[2]) == 0.0


def test_a_teacher_waits_for_a_whole_gpu():
    tasks = [Task("s", "student", 3.0), Task("t", "fine-tuning", 10.0)]
    assert makespan(tasks, {"fine-tuning": 1, "student": 4}) == 13.0
    assert makespan(tasks, EACH[2]) == 10.0


def status(key, family, state, share, seconds):
    return StageStatus(key, family, key, state, share, 1, seconds, "")


def test_a_family_goes_on_as_it_began():
    """Of 6 students guessed at 10 s one after the other, two took 30: the four left take 120."""
    students = [Task(f"s{n}", "student", 10.0) for n in range(6)]
    left = TimeLeft(students, EACH[1])
    assert left.seconds([], 0.0) == 60.0
    ran = [status(f"s{n}", "student", StageState.RUNNING, 0.99, 30.0) for n in range(2)]
    left.seconds(ran[:1], 30.0)
    left.seconds(ran[1:], 60.0)
    stored = [status(f"s{n}", "student", StageState.STORED, 1.0, 999.0) for n in range(2)]
    assert left.seconds(stored, 60.0) == pytest.approx(120.0), "their clocks go on when they end"


def test_a_running_stage_counts_by_its_own_pace():
    """A quarter in 20 s: 60 s to come, whatever was guessed."""
    left = TimeLeft([Task("s", "student", 10.0)], EACH[2])
    running = [status("s", "student", StageState.RUNNING, 0.25, 20.0)]
    assert left.seconds(running, 20.0) == pytest.approx(60.0)


def test_what_lies_between_stages_is_counted_too():
    """Two of four stages of 10 s took 40 s of the clock: so do the others."""
    left = TimeLeft([Task(f"s{n}", "student", 10.0) for n in range(4)], EACH[1])
    for n in range(2):
        left.seconds([status(f"s{n}", "student", StageState.RUNNING, 0.99, 10.0)], 20.0)
    stored = [status(f"s{n}", "student", StageState.STORED, 1.0, 20.0) for n in range(2)]
    assert left.seconds(stored, 40.0) == pytest.approx(40.0)


def test_a_stage_that_failed_says_nothing_of_others_and_what_rests_on_it_is_not_run():
    """It ended within a second; the student and evaluation of its fold go, the others stay."""
    failed = [status("t0", "fine-tuning", StageState.FAILED, 0.1, 1.0)]
    assert TimeLeft(CHAIN, EACH[1]).seconds(failed, 1.0) == pytest.approx(10.0 + 4.0 + 1.0)


def test_an_unknown_family_goes_by_all_others():
    tasks = [Task("t", "targets", 1.0), Task("e", "evaluation", 5.0, ("t",))]
    left = TimeLeft(tasks, EACH[1])
    left.seconds([status("t", "targets", StageState.RUNNING, 0.9, 3.0)], 3.0)
    stored = [status("t", "targets", StageState.STORED, 1.0, 3.0)]
    assert left.seconds(stored, 3.0) == pytest.approx(15.0)


def test_the_same_arm_in_another_fold_says_most():
    """Guessed alike, V-Net took 40 s and Mean Teacher 4: so they will in the next fold."""
    tasks = [
        Task(f"{label}{fold}", "student", 10.0, label=label)
        for fold in range(2)
        for label in ("vnet", "mt")
    ]
    left = TimeLeft(tasks, EACH[1])
    for key, seconds, elapsed in (
        ("vnet0", 40.0, 40.0),
        ("mt0", 4.0, 44.0),
        ("vnet1", 40.0, 84.0),
    ):
        left.seconds([status(key, "student", StageState.RUNNING, 0.99, seconds)], elapsed)
    ended = [
        status(key, "student", StageState.STORED, 1.0, 84.0) for key in ("vnet0", "mt0", "vnet1")
    ]
    assert left.seconds(ended, 84.0) == pytest.approx(4.0)
