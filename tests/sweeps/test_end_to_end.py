"""A whole study with real training, a real Ray and a real MLflow, as a user meets it."""

import json
import re
import shutil
import sys
from collections import Counter, OrderedDict

import mlflow
import numpy as np
import pytest
import zarr
from mlflow.tracking._tracking_service import utils

from vpbsd import __main__ as vpbsd_main
from vpbsd.cli import run_main
from vpbsd.data.volumes import list_volumes, open_volume
from vpbsd.errors import BadInput
from vpbsd.overrides import override, parse_changes
from vpbsd.settings import laptop
from vpbsd_sweeps.commands import ablation, compare, final, report, status
from vpbsd_sweeps.reporting.records import load_records
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.costs import guess_bytes
from vpbsd_sweeps.study.plan import make_plan
from vpbsd_sweeps.study.study import Study
from vpbsd_sweeps.tracking import tags as tag
from vpbsd_sweeps.tracking.tracker import Tracker, open_tracker

SETTINGS = {
    "data.patch": "[32,32,64]",
    "protocol.folds": "2",
    "sampling.patches": "4",
    "pretrain.network.codebook.size": "3",
    "pretrain.network.codebook.warm": "0.5",
    "pretrain.optim.epochs": "3",
    "pretrain.optim.steps_per_epoch": "10",
    "finetune.epochs": "2",
    "finetune.steps_per_epoch": "2",
    "student.optim.epochs": "2",
    "student.optim.steps_per_epoch": "3",
}
CHANGES = [word for path, value in SETTINGS.items() for word in ("--set", f"{path}={value}")]
ARMS = "light_unet,vpbsd,baseline_mid_semi"


@pytest.fixture(scope="module")
def study(tmp_path_factory, folder, two_cores):
    """A folder in which a study was run to its end; and how to run programs there."""
    home = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)

        def run(main, *words):
            patch.setattr(sys, "argv", ["program", *map(str, words)])
            with pytest.raises(SystemExit) as ended:
                run_main(main)
            return ended.value.code

        places = ["--store", home / "store", "--tracking", f"sqlite:///{home}/mlflow.db"]
        places += ["--data", folder]

        def sweep(*words):
            return run(ablation.main, *places, "--arms", ARMS, "--study", "s", *CHANGES, *words)

        def finish(*words):
            return run(final.main, *places, "--study", "s", "--out", home / "model", *words)

        assert sweep() == 0
        (home / "data").symlink_to(folder)
        yield home, sweep, finish, run


def tracker(home):
    return open_tracker(f"sqlite:///{home}/mlflow.db", "s")


def kinds(home):
    return Counter((r.tags["vpbsd.kind"], r.status) for r in tracker(home).runs())


def test_every_trial_and_every_unique_stage_has_one_finished_run(study):
    home = study[0]
    # per fold: fine-tuning, 5 targets, 3 students, 3 evaluations, the examination of the teacher;
    # one pre-training for both
    assert kinds(home) == {
        ("sweep", "FINISHED"): 1,
        ("trial", "FINISHED"): 6,
        ("stages", "FINISHED"): 1,
        ("stage", "FINISHED"): 27,
    }


def test_trials_carry_curves_metrics_pictures_and_links(study):
    home = study[0]
    tracked = tracker(home)
    run = next(tracked.runs("tags.`vpbsd.arm` = 'vpbsd' and tags.`vpbsd.fold` = '0'"))
    curve = tracked.client.get_metric_history(run.run_id, "loss/dis")
    assert [point.step for point in curve] == [1, 2]
    volumes = [m for m in run.metrics if m.startswith("test/dsc/vol_")]
    values = [run.metrics[m] for m in volumes]
    assert run.metrics["test/dsc"] == pytest.approx(np.mean(values))
    pictures = [f.path for f in tracked.client.list_artifacts(run.run_id, "pictures")]
    kinds = Counter(path.split("/")[1].split("_")[0] for path in pictures)
    assert kinds == dict.fromkeys(("overlay", "projection", "strip"), len(volumes))
    assert run.params == {"arm": "vpbsd", "fold": "0", "seed": "0"}
    sweep = next(tracked.runs(tag.of_kind(tag.SWEEP_KIND)))
    assert sweep.params["student.gamma"] == "0.1"
    assert {s.tags["vpbsd.reused"] for s in tracked.runs(tag.of_kind(tag.STAGE_KIND))} == {"no"}
    assert "pre-training" in run.tags["vpbsd.stages"]
    stage = next(tracked.runs("tags.`vpbsd.family` = 'pre-training'"))
    assert stage.metrics["system/process_memory_megabytes"] > 50


def test_the_codes_that_students_learned_were_examined(study):
    """In twenty steps no decoder has learned to read them: VpbSD is unproven, others are not."""
    home = study[0]
    trials = load_records(tracker(home), "s").trials
    assert {t.arm for t in trials if t.examination} == {"vpbsd"}
    stages = list(tracker(home).runs("tags.`vpbsd.family` = 'examination'"))
    for stage in stages:
        assert "swapped_dice" in stage.metrics
        assert len(tracker(home).client.list_artifacts(stage.run_id, "pictures")) == 2
    found = {stage.tags["vpbsd.key"]: stage.tags.get("vpbsd.void", "") for stage in stages}
    assert all(found[t.examination] == t.unproven for t in trials if t.examination)


def test_the_same_command_again_trains_and_doubles_nothing(study, capsys):
    home, sweep, _, _ = study
    before = kinds(home)
    stored = sorted((home / "store" / "results").glob("*/manifest.json"))
    times = [path.stat().st_mtime for path in stored]
    capsys.readouterr()
    assert sweep() == 0
    printed = capsys.readouterr().out
    assert kinds(home) == before
    assert [path.stat().st_mtime for path in stored] == times
    assert "| VpbSD" in printed
    run = next(tracker(home).runs("tags.`vpbsd.arm` = 'vpbsd' and tags.`vpbsd.fold` = '0'"))
    curve = tracker(home).client.get_metric_history(run.run_id, "loss/dis")
    assert len(curve) == 2


def test_the_status_shows_what_is_done_and_the_best_so_far(study, capsys):
    home, _, _, run = study
    assert run(status.main, "--store", home / "store") == 0
    assert capsys.readouterr().out == "s\n"
    assert run(status.main, "s", "--store", home / "store") == 0
    printed = capsys.readouterr().out
    assert "no driver is running" in printed
    assert "pre-training   |      1 |     0" in printed
    assert "student        |      6 |     0" in printed
    assert "6 of 6 trials\nbest so far: " in printed


def test_another_configuration_under_the_same_name_is_refused(study, capsys):
    _, sweep, _, _ = study
    assert sweep("--set", "student.gamma=0.5") == 2
    printed = capsys.readouterr().err
    assert "settings.student.gamma: 0.1 before, 0.5 now" in printed


def test_a_damaged_result_is_shown_and_trained_again(study, capsys):
    home, sweep, _, _ = study
    store = Store(str(home / "store"))
    result = load_records(tracker(home), "s").trials[0]
    tags = tracker(home).client.get_run(result.run_id).data.tags
    key = next(k for label, k in json.loads(tags["vpbsd.stages"]).items() if "evaluate" in label)
    rows = store.open(key) / "rows.json"
    rows.write_text(rows.read_text()[:-5])
    assert sweep("--plan") == 0
    plan = capsys.readouterr().out
    line = next(x for x in plan.splitlines() if x.startswith("evaluation"))
    assert [w for w in line.split() if w.isdigit()] == ["6", "6", "5", "1"]
    assert sweep() == 0
    assert store.state(key) == "stored"


@pytest.mark.slow
def test_a_comparison_trains_nothing_again_and_times_networks(study, capsys):
    home, _, _, run = study
    places = ["--store", home / "store", "--tracking", f"sqlite:///{home}/mlflow.db"]
    before = set((home / "store" / "results").iterdir())
    arms = ["--arms", "light_unet,vpbsd", "--study", "c", "--data", home / "data"]
    assert run(compare.main, *places, *arms, *CHANGES) == 0
    new = set((home / "store" / "results").iterdir()) - before
    assert len(new) == 1, "one network is timed, all else is stored"
    printed = capsys.readouterr().out.partition("## Size and time")[2]
    rows = [line.split("|") for line in printed.splitlines() if line.startswith("| ")][1:]
    assert [row[1].strip() for row in rows] == ["Light UNet (baseline)", "VpbSD"]
    assert all(float(row[-2].split()[0]) > 0 for row in rows)
    assert rows[0][3].strip() == "0.121"
    reused = Counter(
        (run.tags["vpbsd.family"] == "timing", run.tags["vpbsd.reused"])
        for run in Tracker(f"sqlite:///{home}/mlflow.db", "c").runs(tag.of_kind(tag.STAGE_KIND))
    )
    assert reused.keys() == {(True, "no"), (False, "stored before this study ran")}


def test_final_trains_registers_and_segments(study, folder, capsys):
    home, _, finish, run = study
    assert finish() == 0
    assert finish() == 0, "again: found, not registered twice"
    printed = capsys.readouterr().out
    assert "version 1" in printed
    assert "version 2" not in printed
    card = (home / "model" / "card.md").read_text()
    assert "highest mean test DSC over folds" in card
    assert "optimistic" in card
    volume = list_volumes(folder)[0]
    mask = home / "mask.ome.zarr"
    assert run(vpbsd_main.main, "segment", home / "model", volume.path, mask) == 0
    mlflow.set_tracking_uri(f"sqlite:///{home}/mlflow.db")
    model = mlflow.pyfunc.load_model("models:/s/1")
    image = open_volume(volume).image_block((slice(None),) * 3)
    wanted = zarr.open_array(mask / "0")[:]
    assert np.array_equal(model.predict(image), wanted)
    assert np.array_equal(model.predict(image.astype(np.float64)), wanted)
    size = {"spacing": list(volume.spacing_um)}
    assert np.array_equal(model.predict(image, params=size), wanted)
    with pytest.raises(BadInput, match="the model was trained at"):
        model.predict(image, params={"spacing": [9.0, 1.0, 1.0]})
    assert "labelled volumes of" in model.metadata.metadata["trained_on"]
    shutil.rmtree(mask)


def test_final_on_other_data_is_refused(study, tmp_path, folder, capsys):
    _, _, _, run = study
    home = study[0]
    other = tmp_path / "other"
    other.mkdir()
    for path in sorted(folder.glob("*.zarr"))[:3]:
        shutil.copytree(path, other / path.name)
    words = ["--store", home / "store", "--tracking", f"sqlite:///{home}/mlflow.db"]
    assert run(final.main, *words, "--data", other, "--study", "s") == 2
    assert "was run on other volumes" in capsys.readouterr().err


def test_an_unknown_study_names_the_known_ones(study, capsys):
    home, _, _, run = study
    words = ["--tracking", f"sqlite:///{home}/mlflow.db", "--study", "t"]
    assert run(final.main, *words) == 2
    assert re.search(r"known are (c, )?s\n", capsys.readouterr().err)  # c: a slow test compares


def test_a_plan_counts_requested_unique_and_stored(study, volumes):
    home = study[0]
    settings = override(laptop(), parse_changes([f"{k}={v}" for k, v in SETTINGS.items()]))
    plan = make_plan(
        Study("s", settings, volumes, tuple(ARMS.split(","))), Store(str(home / "store"))
    )
    assert plan.requested() == {
        "pre-training": 4,
        "fine-tuning": 4,
        "targets": 12,
        "student": 6,
        "evaluation": 6,
        "examination": 2,
    }
    assert plan.inventory.missing == []
    stored = sum(plan.inventory.sizes.values())
    guessed = sum(map(guess_bytes, plan.inventory.stages))
    assert 0.7 < guessed / stored < 1.4


@pytest.mark.slow
def test_a_study_that_was_moved_goes_on_where_it_is_now(
    study, folder, tmp_path, capsys, monkeypatch
):
    """Store, database and artefacts in another folder; the old one is gone and stays gone."""
    home, _, finish, run = study
    assert finish() == 0, "trained before it is moved"
    monkeypatch.setattr(utils, "_artifact_repos_cache", OrderedDict())  # as in a new process
    there = tmp_path / "another folder"
    results = sorted((home / "store" / "results").glob("*/manifest.json"))
    times = [path.stat().st_mtime_ns for path in results]
    home.rename(there)
    try:
        mlflow_at = ["--tracking", f"sqlite:///{there}/mlflow.db"]
        places = [*mlflow_at, "--store", there / "store", "--data", folder]
        assert run(report.main, "s", *mlflow_at, "--out", there / "report") == 0
        assert "data:image/png" in (there / "report" / "report.html").read_text()
        assert run(status.main, "s", "--store", there / "store") == 0
        assert "6 of 6 trials" in capsys.readouterr().out
        assert run(ablation.main, *places, "--arms", ARMS, "--study", "s", *CHANGES) == 0
        assert run(final.main, *places, "--study", "s", "--out", there / "model") == 0
        printed = capsys.readouterr().out
        assert re.search(r"^(\d+) stages, \1 of them stored$", printed, re.MULTILINE)
        assert "version 1" in printed
        mlflow.set_tracking_uri(f"sqlite:///{there}/mlflow.db")
        mlflow.pyfunc.load_model("models:/s/1")
        moved = sorted((there / "store" / "results").glob("*/manifest.json"))
        assert [path.stat().st_mtime_ns for path in moved] == times
        assert not home.exists(), "nothing is written to where it was"
    finally:
        there.rename(home)
