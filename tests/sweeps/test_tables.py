"""The table's arithmetic and its rule for bold, by hand."""

import math
from dataclasses import replace

import pytest

from vpbsd.pipeline.arms import ARMS, GROUPS
from vpbsd.settings import laptop
from vpbsd_sweeps.reporting.analysis import analyse
from vpbsd_sweeps.reporting.class_table import class_table
from vpbsd_sweeps.reporting.columns import COLUMNS
from vpbsd_sweeps.reporting.comparisons import Comparison
from vpbsd_sweeps.reporting.grid import Grid, Item, latex, markdown
from vpbsd_sweeps.reporting.paired_t import PairedT
from vpbsd_sweeps.reporting.records import StageRun, StudyRecords, TrialResult
from vpbsd_sweeps.reporting.rows import spreads_by_metric, threshold_floor
from vpbsd_sweeps.reporting.search_tables import held_out_dsc
from vpbsd_sweeps.reporting.tables import document, main_table, sections
from vpbsd_sweeps.tuning.journal import TrialOutcome


def trial(arm, fold, seed, dsc, void="", status="FINISHED", **more):
    values = {metric: {f"v{i}": value for i, value in enumerate(dsc)} for metric in COLUMNS}
    values["threshold_dsc"] = {f"v{i}": 0.5 for i in range(len(dsc))}
    return TrialResult(f"run-{arm}-{fold}-{seed}", arm, fold, seed, status, void, values, **more)


def analysed(trials, arms=None, stages=None, seeds=(0,), primary=None):
    """A study of these trials and of no others, with the Light UNet or else the first as base."""
    arms = list(arms or dict.fromkeys(t.arm for t in trials))
    settings = laptop().model_dump(mode="json")
    identity = {"settings": settings, "arms": arms, "seeds": list(seeds)}
    records = StudyRecords("s", "1", "p", {}, tuple(trials), (), (), (), stages or {}, None)
    records.__dict__["identity"] = identity
    return analyse(records, "light_unet" if "light_unet" in arms else arms[0], primary)


def many_groups(arm, dsc, **more):
    """Two folds of seven groups with a volume each, so that a p below 0.001 is possible."""
    for fold in range(2):
        found = trial(arm, fold, 0, [dsc + i / 100 for i in range(7)], **more)
        yield replace(found, groups={f"v{i}": f"fold {fold} animal {i}" for i in range(7)})


def row_of(title, analysis, arms=None):
    """A row of the main table: metric -> item, and the mark behind the title."""
    rows = main_table(analysis, arms).rows
    first, *items = next(row for row in rows if row[0].text == title)
    return dict(zip(analysis.columns or COLUMNS, items, strict=True)), first.mark


def test_volumes_then_seeds_then_folds():
    """Fold 0: seeds .4 and .6 (means over volumes) -> .5; fold 1: .7 -> mean .6, sd .1414."""
    trials = [
        trial("vpbsd", 0, 0, [0.3, 0.5]),
        trial("vpbsd", 0, 1, [0.5, 0.7]),
        trial("vpbsd", 1, 0, [0.7]),
    ]
    over_folds = spreads_by_metric(trials)["dsc"].folds
    assert over_folds.mean == pytest.approx(0.6)
    assert over_folds.sd == pytest.approx(0.2 / math.sqrt(2))
    assert row_of("VpbSD", analysed(trials))[0]["dsc"].text == "0.600 ± 0.141"


def test_one_fold_has_no_spread():
    items, _ = row_of("VpbSD", analysed([trial("vpbsd", 0, 0, [0.5])]))
    assert items["dsc"].text == "0.500"


def test_an_arm_with_a_void_or_failed_trial_is_shown_and_not_averaged():
    """Its fold that worked is no mean over folds."""
    trials = [
        trial("vpbsd", 0, 0, [0.8]),
        trial("vpbsd", 1, 0, [0.2], void="pre-training: codebook collapsed"),
        trial("vpbsd", 1, 1, [0.2], void="pre-training: codebook collapsed"),
        trial("kd", 0, 0, [0.9]),
        trial("kd", 1, 0, [0.9], status="FAILED"),
        *(trial("light_unet", fold, 0, [0.6]) for fold in (0, 1)),
    ]
    analysis = analysed(trials, ["light_unet", "kd", "vpbsd"])
    for title in ("KD", "VpbSD"):
        items, mark = row_of(title, analysis)
        assert {item.text for item in items.values()} == {"–"}
        assert "†" in mark
    notes = main_table(analysis).notes
    lost = "VOID: pre-training: codebook collapsed (fold 1 seed 0, fold 1 seed 1)"
    assert f"† VpbSD: left out of all averages; {lost}." in notes
    assert "† KD: left out of all averages; failed (fold 1 seed 0)." in notes


def test_what_is_to_be_known_of_trials_that_count_is_said_once():
    trials = [trial("teacher", fold, 0, [0.8], note="collapsed") for fold in (0, 1)]
    analysis = analysed(trials)
    items, mark = row_of("SwinUNETR teacher", analysis)
    assert (items["dsc"].text, mark) == ("0.800 ± 0.000", "¶")
    noted = "¶ SwinUNETR teacher: collapsed (fold 0 seed 0, fold 1 seed 0)."
    assert main_table(analysis).notes.count(noted) == 1


def test_the_floor_does_not_depend_on_what_is_void():
    trials = [trial("vpbsd", fold, 0, [0.3], void="collapsed") for fold in (0, 1)]
    assert str(threshold_floor(trials)) == "0.500 ± 0.000"
    assert threshold_floor([]) is None


def test_an_arm_without_trials_says_so():
    analysis = analysed([trial("light_unet", 0, 0, [0.6])], ["light_unet", "vpbsd"])
    assert "† VpbSD: left out of all averages; no trial has ended." in main_table(analysis).notes


def bold(analysis, arms=None):
    rows = main_table(analysis, arms).rows
    return {
        (row[0].text, metric)
        for row in rows
        for metric, item in zip(analysis.columns, row[1:], strict=True)
        if item.bold
    }


def test_the_best_student_is_bold_where_it_beats_the_baseline():
    """All of 14 groups gain .1: where high is good that is a lead, elsewhere it is none."""
    trials = [*many_groups("light_unet", 0.6), *many_groups("vpbsd", 0.7)]
    higher = {("VpbSD", metric) for metric in ("dsc", "accuracy", "jaccard", "cldice")}
    assert bold(analysed(trials)) == higher


def test_a_reference_never_competes():
    trials = [*many_groups("light_unet", 0.6), *many_groups("kd", 0.7)]
    trials += many_groups("teacher", 0.9)
    found = bold(analysed(trials, ["teacher", "light_unet", "kd"]))
    assert ("KD", "dsc") in found
    assert "SwinUNETR teacher" not in {title for title, _ in found}


def test_nothing_is_bold_within_noise():
    """A lead of .1 and .3 in two groups: mean .2, error .1, p .295 on one degree."""
    trials = [
        trial(arm, f, 0, [0.6 + (arm == "vpbsd") * (0.1 + 0.2 * f)])
        for arm in ("light_unet", "vpbsd")
        for f in (0, 1)
    ]
    trials = [replace(t, groups={"v0": f"animal {t.fold}"}) for t in trials]
    assert bold(analysed(trials)) == set()


def test_the_baseline_is_never_bold_though_it_is_the_best():
    trials = [*many_groups("light_unet", 0.7), *many_groups("vpbsd", 0.6)]
    lower = {("VpbSD", metric) for metric in ("hd95_um", "smd")}
    assert bold(analysed(trials)) == lower


@pytest.mark.parametrize(
    ("metric", "difference", "p", "gains"),
    [
        ("dsc", 0.1, 0.04, True),
        ("dsc", -0.1, 0.04, False),
        ("dsc", 0.1, 0.05, False),
        ("smd", -0.1, 0.04, True),
        ("smd", 0.1, 0.04, False),
    ],
)
def test_a_gain_is_a_better_mean_beyond_noise(metric, difference, p, gains):
    test = PairedT(difference, 0.0, 0.0, 0.95, 1.0, 6, None)
    assert Comparison("kd", metric, test, p=p).gains == gains


def test_a_searchs_score_averages_seeds_then_folds():
    """Two folds, two seeds, fold running fastest: .4 and .6 -> .5, .7 and .7 -> .7."""
    outcome = TrialOutcome(0, "complete", (0.4, 0.7, 0.6, 0.7))
    assert str(held_out_dsc(outcome, 2)) == "0.600 ± 0.141"


def test_a_table_of_some_arms_has_a_best_of_its_own():
    trials = [*many_groups("light_unet", 0.6), *many_groups("kd", 0.65)]
    trials += many_groups("vpbsd", 0.7)
    analysis = analysed(trials)
    assert ("KD", "dsc") not in bold(analysis)
    assert ("KD", "dsc") in bold(analysis, ["light_unet", "kd"])


def test_the_rule_for_bold_stands_below_the_table():
    trials = [*many_groups("light_unet", 0.6), *many_groups("teacher", 0.7)]
    notes = "\n".join(main_table(analysed(trials)).notes)
    assert "Bold: best mean of the students, where p < 0.05" in notes
    assert "none where it is within noise; SwinUNETR teacher set apart as reference." in notes


@pytest.mark.parametrize(
    ("mark", "tex"), [("*", "$^{*}$"), ("**", "$^{**}$"), ("†", r"$^\dagger$")]
)
def test_bold_and_marks_are_written_in_both_ways(mark, tex):
    grid = Grid(["arm", "DSC"], [[Item("kd"), Item("0.5 ± 0.1", bold=True, mark=mark)]])
    assert f"| kd | **0.5 ± 0.1** {mark.replace('*', chr(92) + '*')} |" in markdown(grid)
    assert rf"kd & \textbf{{0.5 $\pm$ 0.1}}{tex} \\" in latex(grid, "c", "l")


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
        trial(arm, 0, 0, [0.5], timing=timing)
        for arm, timing in (("light_unet", "a"), ("vpbsd", "a"), ("teacher", "b"))
    ]
    numbers = {"params_deploy": 117_346, "gmac_torch": 0.1139, "sys/threads": 1.0}
    numbers |= {"ms_per_block": 12.34, "ms_sd": 0.5}
    timing = StageRun("r", {"family": "timing", "device": "a CPU"}, {}, numbers)
    text = document(analysed(trials, ["teacher", "light_unet", "vpbsd"], {"a": timing}))
    rows = [x for x in text.partition("## Size")[2].splitlines() if x.startswith("|")]
    assert rows[2:] == [
        "| Light UNet (baseline) | 0.500 | 0.117 | 0.114 | 12.3 ± 0.5 |",
        "| VpbSD | 0.500 | 0.117 | 0.114 | 12.3 ± 0.5 |",
    ]
    assert "on a CPU, 1 threads" in text
    assert "Size and time" not in document(analysed(trials))


def test_each_class_has_a_column_of_its_own_where_there_are_several():
    one = trial("light_unet", 0, 0, [0.6])
    assert class_table(analysed([one])).rows == []
    for name, dsc in (("anterior", 0.5), ("posterior", 0.7)):
        one.values[f"dsc_{name}"] = {"v0": dsc}
    grid = class_table(analysed([one]))
    assert grid.header == ["arm", "anterior", "posterior"]
    assert [item.text[:5] for item in grid.rows[0][1:]] == ["0.500", "0.700"]
    assert "## Each class" in document(analysed([one]))
