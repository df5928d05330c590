"""What a teacher was pre-trained by, against the student that learns from it: one matrix."""

from __future__ import annotations

from vpbsd.pipeline.crossings import ON, PRETRAININGS, arm_title, crossed, parted
from vpbsd_sweeps.reporting.analysis import StudyAnalysis
from vpbsd_sweeps.reporting.columns import PRIMARY
from vpbsd_sweeps.reporting.grid import NOTHING, UNPROVEN, VOID, Grid, Item
from vpbsd_sweeps.reporting.rows import Row


def pretraining_table(analysis: StudyAnalysis) -> Grid:
    """Makes a row per student and a column per pre-training, of the test DSC over folds.

    There are rows only where the study has a crossing.
    """
    rows = {row.arm: row for row in analysis.rows}
    if not any(ON in arm for arm in rows):
        return Grid([], [])
    students = dict.fromkeys(_student(arm) for arm in rows)
    found = {
        student: {how: rows.get(crossed(student, how)) for how in PRETRAININGS}
        for student in students
    }
    found = {s: own for s, own in found.items() if len([*filter(None, own.values())]) > 1}
    columns = [how for how in PRETRAININGS if any(own[how] for own in found.values())]
    items = [
        [Item(arm_title(student)), *(_cell(own[how]) for how in columns)]
        for student, own in found.items()
    ]
    note = (
        f"Test DSC, mean ± standard deviation over folds; {VOID} void, {UNPROVEN} unproven, as "
        "in the tables above. One fine-tuning for all; where patterns were not learned, the code "
        "words of VpbSD are k-means centres of the fine-tuned teacher's tokens."
    )
    return Grid(["student", *(PRETRAININGS[how][0] for how in columns)], items, [note])


def _student(arm: str) -> str:
    """Finds the student of a cell, by its plain name."""
    named = {crossed(base, how): base for base in ("teacher", "vpbsd") for how in PRETRAININGS}
    return named.get(arm, parted(arm)[0])


def _cell(row: Row | None) -> Item:
    if row is None or PRIMARY not in row.spreads:
        return Item(NOTHING, mark=VOID if row is not None and row.void else "")
    return Item(str(row.spreads[PRIMARY].folds), mark=UNPROVEN if row.unproven else "")
