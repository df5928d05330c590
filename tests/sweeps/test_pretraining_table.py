"""The matrix of pre-trainings and students, by hand."""

from tests.sweeps.test_tables import analysed, trial
from vpbsd_sweeps.reporting.grid import UNPROVEN, VOID
from vpbsd_sweeps.reporting.pretraining_table import pretraining_table
from vpbsd_sweeps.reporting.tables import document, sections

DSC = {
    "light_unet": 0.5,
    "teacher": 0.61,
    "s2dc": 0.62,
    "teacher_no_pretrain": 0.63,
    "kd": 0.71,
    "kd_on_s2dc": 0.72,
    "vpbsd": 0.81,
    "vpbsd_on_s2dc": 0.82,
    "vpbsd_no_pretrain": 0.83,
}


def test_a_row_per_student_and_a_column_per_pretraining():
    trials = [trial(arm, 0, 0, [dsc]) for arm, dsc in DSC.items()]
    table = pretraining_table(analysed(trials))
    assert table.header == ["student", "vessel patterns", "S2DC", "none"]
    assert [[item.text for item in row] for row in table.rows] == [
        ["SwinUNETR teacher", "0.610", "0.620", "0.630"],
        ["KD", "0.710", "0.720", "–"],
        ["VpbSD", "0.810", "0.820", "0.830"],
    ]
    assert "## Pre-training by student" in document(analysed(trials))


def test_what_is_void_or_unproven_is_marked():
    trials = [
        trial("light_unet", 0, 0, [0.5]),
        trial("vpbsd", 0, 0, [0.8], unproven="codes carry nothing"),
        trial("vpbsd_on_s2dc", 0, 0, [0.8], void="fine-tuning, s2dc, codes: collapsed"),
    ]
    (row,) = pretraining_table(analysed(trials)).rows
    assert [(item.text, item.mark) for item in row[1:]] == [("0.800", UNPROVEN), ("–", VOID)]


def test_no_crossing_no_matrix():
    trials = [trial(arm, 0, 0, [0.5]) for arm in ("light_unet", "teacher", "s2dc", "kd")]
    assert not pretraining_table(analysed(trials)).rows
    assert "Pre-training by student" not in document(analysed(trials))


def test_crossings_have_a_table_of_their_own():
    found = dict(sections(["light_unet", "kd", "kd_on_s2dc", "vpbsd_on_none"]))
    assert found["On teachers pre-trained otherwise"] == ["kd_on_s2dc", "vpbsd_on_none"]
    assert {arm for rows in found.values() for arm in rows} == {
        *("light_unet", "kd", "kd_on_s2dc", "vpbsd_on_none")
    }
