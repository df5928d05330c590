"""DSC against labelled groups: what is planned, what the page says by hand, and a small run."""

import csv
import json
import math
import shutil
import sys
from dataclasses import replace

import pytest

from tests.sweeps.small_study import small_study
from tests.sweeps.test_end_to_end import CHANGES
from vpbsd.cli import run_main
from vpbsd_sweeps.commands import ablation, report
from vpbsd_sweeps.reporting.analysis import analyse
from vpbsd_sweeps.reporting.grid import VOID, markdown
from vpbsd_sweeps.reporting.label_efficiency import (
    Interval,
    label_efficiency,
    training_groups,
)
from vpbsd_sweeps.reporting.label_figure import figure
from vpbsd_sweeps.reporting.label_tables import document, gain_table, score_table
from vpbsd_sweeps.reporting.records import load_records
from vpbsd_sweeps.reporting.tables import main_table
from vpbsd_sweeps.tracking.tracker import open_tracker

STEPS = {1: -0.1, 2: -0.03, None: 0.0}


"""What so many labels give every arm."""


def test_an_interval_by_hand():
    """.60, .65, .70: sd .05, t(2) = 4.303, so .65 +- 4.303 * .05 / sqrt(3) = .1242."""
    found = Interval.over([0.60, 0.65, 0.70])
    assert (found.mean, found.n) == (pytest.approx(0.65), 3)
    assert found.high - found.mean == pytest.approx(0.1242, abs=1e-4)
    assert not found.excludes_zero or found.low > 0
    assert not Interval.over([-0.01, 0.02, 0.03]).excludes_zero
    assert Interval.over([-0.11, -0.12, -0.13]).excludes_zero
    assert math.isnan(Interval.over([0.5]).low)
    assert not Interval.over([0.5]).excludes_zero


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Label studies `ours` at 1, 2 and all groups.

    VpbSD has .02 more than the baseline, and .01, .02 or .03 on top in the folds of one label.
    """
    home = tmp_path_factory.mktemp("labels")
    for count, step in STEPS.items():

        def gain(arm, fold, step=step, count=count):
            return step + (0.01 * (fold + 1) if (arm, count) == ("vpbsd", 1) else 0.0)

        name = f"ours-labels{count or 'all'}"
        small_study(home, name, {"protocol.train_groups": count}, gain)
    return home


def load(home, *counts):
    uri = f"sqlite:///{home}/mlflow.db"
    names = [f"ours-labels{count}" for count in counts]
    return [load_records(open_tracker(uri, name), name) for name in names]


@pytest.fixture(scope="module")
def found(home):
    return label_efficiency(load(home, "all", 1, 2))


def cells(grid, name):
    return next([i.text for i in row[1:]] for row in grid.rows if row[0].text == name)


def test_a_row_per_arm_and_a_column_per_count_by_hand(found):
    """Baseline with all labels: folds .615, .655, .695; with one .1 less, with two .03 less."""
    table = score_table(found)
    assert table.header == ["labelled groups", "1", "2", "all (4)"]
    reach = 4.3027 * 0.04 / math.sqrt(3)
    assert cells(table, "Light UNet (baseline)") == [
        f"{mean:.3f} [{mean - reach:.3f}, {mean + reach:.3f}]" for mean in (0.555, 0.625, 0.655)
    ]
    assert cells(table, "VpbSD")[0].startswith("0.595 ["), ".555 + .02 + .02"


def test_gains_are_paired_by_fold_by_hand(found):
    """With one label .03, .04, .05: mean .04 +- 4.303 * .01 / sqrt(3) = .0248."""
    table = gain_table(found)
    assert cells(table, "VpbSD") == [
        "+0.040 [+0.015, +0.065]",
        "+0.020 [+0.020, +0.020]",
        "+0.020 [+0.020, +0.020]",
    ]
    row = next(row for row in table.rows if row[0].text == "VpbSD")
    assert [item.bold for item in row[1:]] == [True, True, True]
    room = cells(table, "room: Light UNet (baseline) less its own at 1")
    assert room == ["", "+0.070 [+0.070, +0.070]", "+0.100 [+0.100, +0.100]"]
    assert "Light UNet (baseline)" not in [row[0].text for row in table.rows]


def test_a_void_arm_has_no_number_and_a_reason_per_count(found):
    table = score_table(found)
    assert cells(table, "VpbSD w/o L_dis") == ["–", "–", "–"]
    row = next(row for row in table.rows if row[0].text == "VpbSD w/o L_dis")
    assert {item.mark for item in row[1:]} == {VOID}
    told = [note for note in table.notes if "codes collapsed" in note]
    assert len(told) == 1
    assert "is left out of ours-labels1, ours-labels2, ours-labelsall: VOID: pre-" in told[0]


def test_the_curves_show_means_intervals_and_no_void_arm(found):
    left, right = figure(found).axes
    by_name = {c.get_label(): c for c in left.containers}
    means = by_name["Light UNet (baseline)"].lines[0].get_ydata()
    assert list(means) == pytest.approx([0.555, 0.625, 0.655])
    assert set(by_name) == {"Light UNet (baseline)", "VpbSD"}
    assert [t.get_text() for t in left.get_xticklabels()] == ["1", "2", "all"]
    assert list(left.get_xticks()) == [1, 2, 4]
    gains = {c.get_label(): c for c in right.containers}
    assert "Light UNet (baseline)" not in gains
    assert list(gains["VpbSD"].lines[0].get_ydata()) == pytest.approx([0.04, 0.02, 0.02])
    (bars,) = gains["VpbSD"].lines[2]
    low, high = bars.get_segments()[0][:, 1]
    assert (low, high) == pytest.approx((0.04 - 0.02484, 0.04 + 0.02484), abs=1e-4)


def test_a_baseline_alone_has_one_panel(home):
    (one,) = load(home, 1)
    alone = replace(one, trials=tuple(t for t in one.trials if t.arm == "light_unet"))
    (left,) = figure(label_efficiency([alone])).axes
    assert left.get_ylabel() == "test DSC"


def test_a_count_whose_trials_miss_has_no_number(home, tmp_path):
    shutil.copyfile(home / "mlflow.db", tmp_path / "mlflow.db")
    one, every = load(tmp_path, 1, "all")
    gone = next(t for t in one.trials if t.name == "vpbsd-fold2-seed0")
    one.tracker.client.delete_run(gone.run_id)
    table = score_table(label_efficiency(load(tmp_path, 1, "all")))
    assert cells(table, "VpbSD")[0] == "–"
    assert "2 of 3 trials so far" in "".join(table.notes)
    assert cells(table, "VpbSD")[1] != "–"


def test_all_labels_are_those_of_the_fold_with_most_groups(home):
    """Six groups in three folds: four train; in four folds five do; in space all six."""
    (every,) = load(home, "all")
    assert training_groups(every) == 4

    def under(**protocol):
        identity = json.loads(every.tags["facts"])
        identity["settings"]["protocol"] |= protocol
        return replace(every, tags={**every.tags, "facts": json.dumps(identity)})

    assert training_groups(under(folds=4)) == 5
    assert training_groups(under(split="space")) == 6
    assert training_groups(under(split="named", tested=1)) == 5
    assert training_groups(under(split="named", tested=["animal0", "animal4"])) == 4
    failed = tuple(replace(t, groups={}, status="FAILED") for t in every.trials)
    nothing = label_efficiency([replace(every, trials=failed)])
    assert cells(score_table(nothing), "VpbSD") == ["–"]
    assert figure(nothing).axes


def test_studies_that_differ_in_more_than_labels_are_told(tmp_path, found):
    assert found.differing() == []
    small_study(tmp_path, "ours-labels1", {"protocol.train_groups": 1})
    small_study(tmp_path, "ours-labelsall", {"student.gamma": 0.7})
    table = score_table(label_efficiency(load(tmp_path, 1, "all")))
    (note,) = [note for note in table.notes if note.startswith("Not alike")]
    assert "settings.student.gamma: 0.1 before, 0.7 now" in note


def test_a_study_with_few_labels_says_so_under_its_table(home):
    one, every = load(home, 1, "all")
    told = "1 training group(s) per fold kept their labels (draw 0)"
    assert any(told in note for note in main_table(analyse(one, "light_unet")).notes)
    assert not any(
        "kept their labels" in n for n in main_table(analyse(every, "light_unet")).notes
    )


def run(main, *words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["program", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            run_main(main)
    return ended.value.code


@pytest.mark.parametrize(
    ("name", "study"),
    [
        ("ours", "ours-labelsall"),
        pytest.param("ours-labels1", "ours-labels1", marks=pytest.mark.slow),
    ],
)
def test_a_report_shows_it(home, tmp_path, found, capsys, name, study):
    out = tmp_path / "report"
    assert run(report.main, name, "--tracking", f"sqlite:///{home}/mlflow.db", "--out", out) == 0
    page = (out / "report.html").read_text()
    assert f"<h1>{study}</h1>" in page
    assert "<h2>Label efficiency</h2>" in page
    assert "+0.040 [+0.015, +0.065]" in page
    assert (out / "labels.md").read_text() == document(found)
    assert markdown(score_table(found)) in capsys.readouterr().out
    assert (out / "figures" / "label_efficiency.png").stat().st_size > 5000
    rows = list(csv.DictReader((out / "labels.csv").read_text().splitlines()))
    row = next(
        r for r in rows if (r["arm"], r["labelled_groups"], r["fold"]) == ("vpbsd", "1", "2")
    )
    assert float(row["dsc"]) == pytest.approx(0.695 - 0.1 + 0.02 + 0.03)
    assert {r["labelled_groups"] for r in rows} == {"1", "2", "4"}


@pytest.mark.slow
def test_label_studies_run_share_and_go_on(tmp_path, folder, two_cores, capsys, monkeypatch):
    """Three groups in two folds: the first trains on one group anyway, so both counts share it."""
    monkeypatch.chdir(tmp_path)
    tracking = f"sqlite:///{tmp_path}/mlflow.db"
    words = ["--data", folder, "--arms", "light_unet", "--study", "mine", "--labels", "1,all"]
    words += [*CHANGES, "--store", tmp_path / "store", "--tracking", tracking]
    assert run(ablation.main, *words, "--plan") == 0
    assert "2 of them counted above" in capsys.readouterr().out
    assert run(ablation.main, *words) == 0
    printed = capsys.readouterr().out
    assert "| Light UNet (baseline) |" in printed
    assert f"report mine --tracking {tracking}" in printed
    stored = sorted((tmp_path / "store" / "results").glob("*/manifest.json"))
    assert len(stored) == 6, "three students, not four, and their evaluations"
    times = [path.stat().st_mtime for path in stored]
    assert run(ablation.main, *words) == 0
    assert [path.stat().st_mtime for path in stored] == times
    assert len(list((tmp_path / "store" / "results").glob("*/manifest.json"))) == 6
    last = open_tracker(tracking, "mine-labelsall")
    parent = load_records(last, "mine-labelsall").parent
    assert {"labels.md", "label_efficiency.png", "label_efficiency.svg"} <= {
        *last.list_files(parent, "")
    }
    assert run(report.main, "mine", "--tracking", tracking) == 0
    assert (tmp_path / "runs" / "reports" / "mine" / "labels.md").exists()


def test_more_labels_than_a_fold_has_groups_are_refused_before_anything(tmp_path, folder, capsys):
    words = ["--data", folder, "--arms", "light_unet", "--labels", "1,2", "--folds", "2", "--plan"]
    assert run(ablation.main, *words, *CHANGES, "--store", tmp_path) == 2
    assert "fold 0 has only 1 training groups" in capsys.readouterr().err
