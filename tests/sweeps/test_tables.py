"""The table's arithmetic, by hand."""

import math
from dataclasses import replace

import pytest

from vpbsd.pipeline.arms import ARMS, GROUPS
from vpbsd_sweeps.reporting.aggregates import cell, document, floor, markdown, sections
from vpbsd_sweeps.reporting.records import Size, TrialResult


def trial(arm, fold, seed, dsc, void="", status="FINISHED"):
    metrics = ("dsc", "accuracy", "hd95_vox", "jaccard", "smd", "cldice")
    values = {m: {f"v{i}": value for i, value in enumerate(dsc)} for m in metrics}
    values["threshold_dsc"] = {f"v{i}": 0.5 for i in range(len(dsc))}
    return TrialResult(f"run-{arm}-{fold}-{seed}", arm, fold, seed, status, void, values)


def test_volumes_then_seeds_then_folds():
    """Fold 0: seeds .4 and .6 (means over volumes) -> .5; fold 1: .7 -> mean .6, sd .1414."""
    trials = [
        trial("vpbsd", 0, 0, [0.3, 0.5]),
        trial("vpbsd", 0, 1, [0.5, 0.7]),
        trial("vpbsd", 1, 0, [0.7]),
    ]
    got = cell(trials, "dsc")
    assert got.mean == pytest.approx(0.6)
    assert got.spread == pytest.approx(0.2 / math.sqrt(2))
    assert str(got) == "0.600 ± 0.141"


def test_one_fold_has_no_spread():
    assert str(cell([trial("vpbsd", 0, 0, [0.5])], "dsc")) == "0.500"


def test_an_arm_with_a_void_or_failed_trial_is_shown_and_not_averaged():
    """Its fold that worked is no mean over folds, is not the best, and costs no one a mark."""
    trials = [
        trial("vpbsd", 0, 0, [0.8]),
        trial("vpbsd", 1, 0, [0.2], void="pre-training: codebook collapsed"),
        trial("vpbsd", 1, 1, [0.2], void="pre-training: codebook collapsed"),
        trial("kd", 0, 0, [0.9]),
        trial("kd", 1, 0, [0.9], status="FAILED"),
        *(trial("light_unet", fold, 0, [0.6]) for fold in (0, 1)),
    ]
    text = markdown(trials, ["light_unet", "kd", "vpbsd"], "caption")
    assert "| VpbSD † | - |" in text
    assert "| KD † | - |" in text
    assert "| Light UNet (baseline) | **0.600 ± 0.000** |" in text
    assert "† VpbSD: VOID: pre-training: codebook collapsed (fold 1 seed 0, fold 1 seed 1)" in text
    assert "† KD: failed (fold 1 seed 0)" in text


def test_what_is_to_be_known_of_trials_that_count_is_said_once():
    trials = [replace(trial("teacher", fold, 0, [0.8]), note="collapsed") for fold in (0, 1)]
    text = markdown(trials, ["teacher"], "")
    assert "| SwinUNETR teacher † | **0.800 ± 0.000** |" in text
    assert "† SwinUNETR teacher: collapsed (fold 0 seed 0, fold 1 seed 0)" in text


def test_the_floor_does_not_depend_on_what_is_void():
    trials = [trial("vpbsd", fold, 0, [0.3], void="collapsed") for fold in (0, 1)]
    assert str(floor(trials)) == "0.500 ± 0.000"


def test_best_is_highest_or_lowest_by_metric():
    trials = [trial("light_unet", 0, 0, [0.6]), trial("vpbsd", 0, 0, [0.8])]
    row = next(
        x for x in markdown(trials, ["light_unet", "vpbsd"], "").splitlines() if "Light" in x
    )
    cells = [c.strip() for c in row.split("|")[2:-1]]
    assert cells == ["0.600", "0.600", "**0.600**", "0.600", "**0.600**", "0.600"]


def test_an_arm_without_trials_says_so():
    text = markdown([trial("light_unet", 0, 0, [0.6])], ["light_unet", "vpbsd"], "")
    assert "† VpbSD: no trial has ended" in text


def test_the_floor_is_that_of_the_same_test_volumes():
    trials = [trial("light_unet", 0, 0, [0.6]), trial("light_unet", 1, 0, [0.6])]
    assert str(floor(trials)) == "0.500 ± 0.000"


def test_every_arm_is_in_one_of_the_tables_shown():
    for asked in (GROUPS["table3"], GROUPS["table1"], tuple(ARMS), ("mt", "da_linear", "vpbsd")):
        shown = [arm for _, rows in sections(asked) for arm in rows]
        assert set(shown) == set(asked)
    assert [heading for heading, _ in sections(GROUPS["table3"])] == [
        "Ablation (the paper's Table 3)"
    ]
    assert len(sections(GROUPS["table3"] + GROUPS["alignment"])) == 2


def test_the_table_of_sizes_by_hand():
    """Two arms with one network, timed once; the teacher's timing is missing and so is its row."""
    trials = [
        replace(trial(arm, 0, 0, [0.5]), timing=timing)
        for arm, timing in (("light_unet", "a"), ("vpbsd", "a"), ("teacher", "b"))
    ]
    sizes = {"a": Size(117_346, 0.1139, 12.34, 0.5, "a CPU, 1 threads")}
    text = document(trials, ("teacher", "light_unet", "vpbsd"), "", sizes)
    rows = [x for x in text.partition("## Size")[2].splitlines() if x.startswith("|")]
    assert rows[2:] == [
        "| Light UNet (baseline) | 0.500 | 0.117 | 0.114 | 12.3 ± 0.5 |",
        "| VpbSD | 0.500 | 0.117 | 0.114 | 12.3 ± 0.5 |",
    ]
    assert "on a CPU, 1 threads" in text
    assert "Size and time" not in document(trials, ("light_unet",), "", {})
