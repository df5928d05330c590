"""A report from a small study in MLflow: its numbers by hand, its bytes, its manners."""

import csv
import json
import re
import shutil
import sys

import pytest

from tests.sweeps.small_study import add_trial, small_study
from vpbsd.cli import run_main
from vpbsd_sweeps.commands import report
from vpbsd_sweeps.reporting import figures
from vpbsd_sweeps.reporting.analysis import analyse
from vpbsd_sweeps.reporting.checks import exclusions, flags, notices
from vpbsd_sweeps.reporting.html import overlays
from vpbsd_sweeps.reporting.records import load_records
from vpbsd_sweeps.reporting.tables import document, main_table
from vpbsd_sweeps.tracking import tags as tag
from vpbsd_sweeps.tracking.tracker import open_tracker


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a finished study of three arms and a report of it in `first`."""
    home = tmp_path_factory.mktemp("report")
    small_study(home)
    assert run(home, "small", "--out", home / "first") == 0
    return home


@pytest.fixture(scope="module")
def text(home):
    return (home / "first" / "report.html").read_text()


@pytest.fixture
def study(home, tmp_path):
    """A copy of that study that a test may change: its folder, tracker and the sweep's run."""
    shutil.copyfile(home / "mlflow.db", tmp_path / "mlflow.db")
    tracker = open_tracker(f"sqlite:///{tmp_path}/mlflow.db", "small")
    return tmp_path, tracker, load_records(tracker, "small").parent


def run(home, *words):
    words = [*map(str, words), "--tracking", f"sqlite:///{home}/mlflow.db"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["report.py", *words])
        with pytest.raises(SystemExit) as ended:
            run_main(report.main)
    return ended.value.code


def lines(home, name):
    with (home / "first" / name).open() as file:
        return list(csv.DictReader(file))


def test_the_table_gives_means_by_unit(home):
    """Volumes .60, .61 .. .71: mean .655; folds .615, .655, .695."""
    rows = lines(home, "table.csv")
    row = next(r for r in rows if (r["arm"], r["metric"]) == ("light_unet", "dsc"))
    assert float(row["mean_folds"]) == pytest.approx(0.655)
    assert float(row["sd_folds"]) == pytest.approx(0.04)
    assert [int(row[f"n_{u}"]) for u in ("folds", "volumes", "groups", "seeds")] == [3, 12, 6, 1]


def test_a_lead_in_every_group_is_bold(home):
    """VpbSD leads by .02 in each of 6 groups, the same in all."""
    table = (home / "first" / "table.md").read_text()
    assert "| VpbSD | **0.675 ± 0.040** \\*\\* |" in table
    assert "| Light UNet (baseline) | 0.655 ± 0.040 |" in table
    tex = (home / "first" / "table.tex").read_text()
    assert r"VpbSD & \textbf{0.675 $\pm$ 0.040}$^{**}$" in tex
    assert r"arm & DSC $\uparrow$ & Acc $\uparrow$ & HD95 [vox] $\downarrow$" in tex
    assert tex.count("{") == tex.count("}")


def test_a_void_arm_is_shown_with_its_reason_and_not_averaged(home):
    table = (home / "first" / "table.md").read_text()
    assert "| VpbSD w/o L_dis † | – |" in table
    assert "VOID: pre-training: codes collapsed (fold 1 seed 0)" in table
    row = next(r for r in lines(home, "table.csv") if r["arm"] == "vpbsd_wo_dis")
    assert row["mean_folds"] == "nan"
    assert {r["arm"] for r in lines(home, "comparison.csv")} == {"vpbsd"}


def test_comparisons_are_over_groups(home):
    """+.02 in each of 6 groups: the exact tests give 2 / 64, their least."""
    row = next(r for r in lines(home, "comparison.csv") if r["metric"] == "dsc")
    assert float(row["difference"]) == pytest.approx(0.02)
    assert (row["groups"], float(row["p_sign_flip"])) == ("6", 0.03125)
    families = {r["metric"]: r["family"] for r in lines(home, "comparison.csv")}
    assert families.pop("dsc") == "primary"
    assert set(families.values()) == {"secondary"}
    table = (home / "first" / "table.md").read_text()
    assert (
        "paired t-test over 6 groups; VpbSD on DSC is the primary comparison and a family of its "
        "own; Holm over the 5 others of students."
    ) in table


def test_every_file_is_there_and_logged_to_the_sweep(home):
    tracker = open_tracker(f"sqlite:///{home}/mlflow.db", "small")
    parent = load_records(tracker, "small").parent
    tables = {f"{t}.{e}" for t in ("table", "comparison") for e in ("md", "csv", "tex")}
    kept = {p.removeprefix("report/") for p in tracker.list_files(parent, "report")}
    assert kept == {*tables, "volumes.csv", "report.html"}
    names = ("volumes", "ranks", "pareto", "learning_curves", "codes")
    figures = {f"report/figures/{name}.{kind}" for name in names for kind in ("png", "svg")}
    assert set(tracker.list_files(parent, "report/figures")) == figures


def test_the_same_runs_give_the_same_bytes(home):
    """--partial changes nothing of a finished study."""
    assert run(home, "small", "--out", home / "second", "--partial") == 0
    first = {p.relative_to(home / "first"): p for p in sorted((home / "first").rglob("*.*"))}
    assert len(first) == 18
    for name, path in first.items():
        assert path.read_bytes() == (home / "second" / name).read_bytes(), name


def test_a_study_of_one_number_of_labels_has_no_section_on_label_efficiency(home, text):
    assert "Label efficiency" not in text
    assert not (home / "first" / "labels.md").exists()


def test_the_page_asks_for_nothing_outside_itself(text):
    assert not re.search(r"https?://|@import|<script|<link", text)
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', text)
    assert all(s.startswith(("data:image/", "/#/experiments/1/runs/")) for s in sources)


def test_every_number_of_the_table_leads_to_its_runs(home, text):
    records = load_records(open_tracker(f"sqlite:///{home}/mlflow.db", "small"), "small")
    for trial in records.trials:
        link = f"/#/experiments/{records.experiment}/runs/{trial.run_id}"
        assert text.count(link) > 6, "six metrics and the list of trials"


def test_the_worst_volume_is_shown_as_planes_and_as_projection(text):
    """vol0 has the lowest DSC of all; only the first fold has pictures."""
    shown = re.findall(r'alt="worst: (\w+), fold (\d), DSC ([.\d]+): (\w+)"', text)
    winner, base = ("vol0", "0", "0.620"), ("vol0", "0", "0.600")
    assert shown == [(*of, kind) for of in (winner, base) for kind in ("overlay", "projection")]


def test_one_volume_is_shown_for_all_arms_side_by_side(text):
    """Of VpbSD's worst, median and best volume the worst alone has pictures."""
    assert re.findall(r'alt="(\w+) of VpbSD: (\w+), fold (\d)"', text) == [("worst", "vol0", "0")]
    assert "<h2>Side by side</h2>" in text


def test_pictures_that_cannot_be_had_are_said(study, monkeypatch, capsys):
    """vol0's is gone from the store of artefacts; those of two other volumes were never there."""
    _, tracker, _ = study
    monkeypatch.setattr(type(tracker), "read_file", lambda *_: 1 / 0)
    analysis = analyse(load_records(tracker, "small"), "light_unet")
    of_arm = dict(overlays(analysis))["VpbSD"]
    said = [picture.caption for picture in of_arm if not picture.source]
    assert said[0].startswith("worst: vol0")
    assert said[-2:] == [f"{word} volume: no picture in MLflow" for word in ("best", "median")]
    assert "cannot be read: ZeroDivisionError: division by zero" in capsys.readouterr().err


def test_the_page_says_which_way_is_better_and_what_metrics_are(text):
    assert "<th>DSC ↑</th><th>Acc ↑</th><th>HD95 [vox] ↓</th>" in text
    assert "SMD, transport cost between both skeletons" in text


def test_work_requested_and_spent(home):
    """Six trials share one pre-training of 600 s; each asks for 60 + 6 s, shared in an arm."""
    records = load_records(open_tracker(f"sqlite:///{home}/mlflow.db", "small"), "small")
    asked, spent = (9 * 66 + 6 * 600) / 3600, (3 * 66 + 600) / 3600
    assert (records.work_requested.slices, records.work_spent.slices) == pytest.approx(
        (asked, spent)
    )
    assert records.work_requested.gpus == 0
    assert records.work_stored.slices == 0


def test_the_newest_of_duplicate_trials_counts_and_the_other_is_named(study):
    _, tracker, parent = study
    old = next(t for t in load_records(tracker, "small").trials if t.name == "vpbsd-fold0-seed0")
    new = add_trial(tracker, parent, ("vpbsd", 0, 0), "trial:again", gain=0.1)
    records = load_records(tracker, "small")
    kept = next(t for t in records.trials if t.name == "vpbsd-fold0-seed0")
    assert kept.run_id == new
    assert [line for line in notices(records) if old.run_id in line]


def test_rows_that_differ_in_more_than_the_factor_are_flagged(study):
    _, tracker, _ = study
    records = load_records(tracker, "small")
    assert flags(records, "light_unet") == {}
    of_vpbsd = records.of_arm("vpbsd")[0].stages["student"]
    run_id = records.stages[of_vpbsd].run_id
    tracker.set_tags(run_id, {tag.COMMIT: "other", "vpbsd.device": "H200"})
    found = flags(load_records(tracker, "small"), "light_unet")
    assert found == {"vpbsd": ["commit: other (baseline abc)", "device: H200 (baseline cpu)"]}


def test_arms_with_fewer_seeds_are_flagged(study):
    _, tracker, parent = study
    add_trial(tracker, parent, ("light_unet", 0, 1))
    found = flags(load_records(tracker, "small"), "light_unet")
    assert found == {arm: ["seeds: 0 (baseline 1)"] for arm in ("vpbsd", "vpbsd_wo_dis")}


def test_a_failed_trial_makes_its_arm_void(study):
    _, tracker, _ = study
    tracker.end("trial:vpbsd-fold2-seed0", "FAILED")
    assert exclusions(load_records(tracker, "small"))["vpbsd"] == "failed (fold 2 seed 0)"


def test_a_named_split_has_one_fold_and_is_finished_with_it(study):
    _, tracker, parent = study
    identity = load_records(tracker, "small").identity
    identity["settings"]["protocol"] |= {"split": "named", "tested": 2, "folds": 5}
    tracker.set_tags(parent, {tag.STUDY_IDENTITY: json.dumps(identity)})
    records = load_records(tracker, "small")
    assert records.missing == ()
    assert "over 1 fold of groups" in main_table(analyse(records, "light_unet")).notes[0]


def test_a_sweep_prints_the_rows_of_its_report(home):
    records = load_records(open_tracker(f"sqlite:///{home}/mlflow.db", "small"), "small")
    printed = document(analyse(records, "light_unet")).splitlines()
    reported = (home / "first" / "table.md").read_text().splitlines()
    left_out = exclusions(records)
    assert list(left_out) == ["vpbsd_wo_dis"]
    reason = left_out["vpbsd_wo_dis"]
    assert f"† VpbSD w/o L_dis: left out of all averages; {reason}." in printed
    assert any(line.startswith("| VpbSD w/o L_dis † | – |") for line in printed)
    assert {line for line in printed if line.startswith("|")} < set(reported)


def test_a_comparison_sets_dsc_against_latency_too(study):
    """Timed networks of 12 ms and 40 ms; without, only size and work are known."""
    _, tracker, parent = study
    plain = analyse(load_records(tracker, "small"), "light_unet")
    labels = [at.get_xlabel() for at in figures.pareto(plain).axes]
    assert labels == ["parameters", "GMAC per patch"]
    for arm, ms in (("light_unet", 12.0), ("vpbsd", 40.0)):
        tags = {tag.KIND: tag.STAGE_KIND, tag.KEY: f"timing-{arm}", tag.FAMILY: "timing"}
        timed = tracker.get_or_create_run(f"stage:timing-{arm}", "timing", parent, {}, tags)
        tracker.log_metrics(timed, {"ms_per_block": ms}, 1e9)
        for trial in plain.row(arm).trials:
            tracker.set_tags(trial.run_id, {tag.TIMING: f"timing-{arm}"})
    *_, latency = figures.pareto(analyse(load_records(tracker, "small"), "light_unet")).axes
    *points, front = latency.lines
    assert latency.get_xlabel() == "ms per 64^3 voxels"
    assert [line.get_xdata()[0] for line in points] == [12, 40]
    assert list(front.get_xdata()) == [12, 40], "the slower is better, so both are on the front"


def test_without_a_valid_baseline_nothing_is_compared(study):
    _, tracker, _ = study
    analysis = analyse(load_records(tracker, "small"), "vpbsd_wo_dis")
    assert analysis.comparisons == []
    assert analysis.winner == "vpbsd"


def test_an_unfinished_study_names_what_misses_and_offers_partial(study, capsys):
    home, tracker, _ = study
    gone = next(t for t in load_records(tracker, "small").trials if t.name == "vpbsd-fold2-seed0")
    tracker.client.delete_run(gone.run_id)
    assert run(home, "small", "--out", home / "r") == 2
    error = capsys.readouterr().err
    assert "1 of 9 trials miss: vpbsd-fold2-seed0 (vpbsd-fold2-seed0 deleted in MLflow)" in error
    assert "--partial" in error
    assert error.count("\n") == 1
    table = main_table(analyse(load_records(tracker, "small"), "light_unet"))
    assert "§ VpbSD: 2 of 3 trials so far; its numbers will change." in table.notes
    of_vpbsd = next(row for row in table.rows if row[0].text == "VpbSD")
    assert of_vpbsd[0].mark == "‡§", "it lacks test volumes too"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tall"], "there is no study 'tall'"),
        (["tall"], "known are small"),
        (["small", "--baseline", "vpbsdd"], "did you mean 'vpbsd'"),
    ],
)
def test_bad_input_is_one_line(home, capsys, words, message):
    assert run(home, *words, "--out", home / "never") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (home / "never").exists()


def test_a_folder_with_other_things_is_left_alone(home, tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine")
    assert run(home, "small", "--out", tmp_path) == 2
    assert "something else" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
