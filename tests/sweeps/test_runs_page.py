"""MLflow opens on the point: a view of trials, answers as descriptions, stages filed apart."""

import json

import numpy as np
import pytest
from matplotlib.image import imread
from mlflow.exceptions import MlflowException

from vpbsd.evaluation.pictures import save_png
from vpbsd.overrides import override
from vpbsd.settings import laptop
from vpbsd_sweeps.cli.options import browse
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.plan import make_plan
from vpbsd_sweeps.study.study import Study
from vpbsd_sweeps.tracking import runs_page
from vpbsd_sweeps.tracking import tags as tag
from vpbsd_sweeps.tracking.sqlite import artifacts_beside
from vpbsd_sweeps.tracking.stage_runs import LEVEL
from vpbsd_sweeps.tracking.sweep_runs import SweepLogger
from vpbsd_sweeps.tracking.tracker import Tracker
from vpbsd_sweeps.tracking.trial_pictures import _key_of, log_trial_pictures

ENDED, SECONDS = 1e9, 30.0
PICTURES = ("overlay_0_a", "projection_0_a", "strip_0_a")


@pytest.fixture(scope="module")
def logged(volumes, tmp_path_factory):
    """A study of two folds whose stages nobody computed, in MLflow: its tracker, runs by name."""
    home = tmp_path_factory.mktemp("page")
    store = Store(str(home / "store"))
    study = Study(
        "s", override(laptop(), {"protocol.folds": 2}), volumes, ("light_unet", "teacher")
    )
    for stage in study.stages():
        made = home / stage.key
        made.mkdir()
        rows = []
        if stage.family == "evaluation":
            rows = [{"volume": "a", "group": "g", "dsc": 0.5, "time": ENDED}]
            for name in PICTURES:
                save_png(made / f"{name}.png", np.full((32, 200, 3), 128, np.uint8))
        (made / "rows.json").write_text(json.dumps(rows))
        (made / "summary.json").write_text(json.dumps({"numbers": {}, "void": None}))
        (made / "stage.json").write_text("{}")
        known = {"family": stage.family, "label": stage.label, "void": None}
        store.commit(stage.key, made, known | {"seconds": SECONDS, "finished": ENDED})
    uri = f"sqlite:///{home}/mlflow.db"
    tracker = Tracker(uri, study.name, artifacts_beside(uri))
    logger = SweepLogger(study, store, tracker, make_plan(study, store))
    logger.catch_up()
    logger.describe("VpbSD is better.", "| arm |\n|---|\n", {"light_unet": 0.5}, ENDED)
    logger.conclude({}, complete=True)
    runs = tracker.client.search_runs([tracker.experiment_id])
    return tracker, {run.info.run_name: run for run in runs}, home


def test_stages_are_filed_apart_by_fold_at_the_time_they_ran(logged):
    _, runs, _ = logged
    stages = {name: run for name, run in runs.items() if run.data.tags[tag.KIND] == tag.STAGE_KIND}
    assert {name.split(": ")[0] for name in stages} == {
        *("pre-training, folds 0, 1", "fine-tuning, fold 0", "fine-tuning, fold 1"),
        *("student", "evaluation"),
    }
    assert {"student: light_unet, fold 1", "evaluation: evaluate teacher, fold 0"} <= stages.keys()
    for run in stages.values():
        assert run.data.tags[tag.PARENT] == runs[LEVEL].info.run_id
        assert run.info.end_time == 1000 * ENDED
        assert run.info.end_time - run.info.start_time == 1000 * SECONDS
    assert runs[LEVEL].data.tags[tag.PARENT] == runs["s"].info.run_id
    assert runs["light_unet-fold0-seed0"].data.tags[tag.PARENT] == runs["s"].info.run_id


def test_the_printed_page_shows_trials_by_their_scores(logged):
    tracker, _, _ = logged
    page = runs_page.runs_page(tracker.uri, "s")
    assert page.startswith(f"/#/experiments/{tracker.experiment_id}/runs?")
    assert page.endswith(f"&viewStateShareKey={runs_page.VIEW}")
    experiment = tracker.client.get_experiment(tracker.experiment_id)
    view = json.loads(experiment.tags[runs_page.TAG])
    state = json.loads(view["state"])
    assert state["searchFilter"] == "tags.`vpbsd.kind` = 'trial'"
    assert len(state["selectedColumns"]) <= 12
    assert state["selectedColumns"][:4] == [
        *("params.`arm`", "params.`fold`", "params.`seed`", "metrics.`test/dsc`"),
    ]
    assert {"metrics.`test/hd95_um`", "tags.`vpbsd.void`"} <= set(state["selectedColumns"])
    assert not state["orderByAsc"]
    assert runs_page.runs_page(tracker.uri, "another") == ""
    assert browse(tracker.uri, "my study").endswith(f" ui 'my study' --tracking {tracker.uri}")


def test_the_answer_and_the_table_describe_the_sweep(logged):
    tracker, runs, _ = logged
    experiment = tracker.client.get_experiment(tracker.experiment_id)
    assert experiment.tags[runs_page.NOTE] == "VpbSD is better."
    assert runs["s"].data.tags[runs_page.NOTE] == "**VpbSD is better.**\n\n| arm |\n|---|\n"
    assert runs["s"].data.metrics["arms/dsc/light_unet"] == 0.5


def test_pictures_of_a_trial_are_titled_and_two_trials_compare(logged):
    tracker, runs, home = logged
    one, other = (runs[f"{arm}-fold0-seed0"].info.run_id for arm in ("light_unet", "teacher"))
    shown = {name: tracker.list_files(name, "images") for name in (one, other)}
    assert [len([f for f in files if f.endswith(".png")]) for files in shown.values()] == [1, 1]
    keys = {f.split("+step")[0].split("%step")[0] for files in shown.values() for f in files}
    assert len(keys) == 1, "MLflow sets images of one key side by side"
    sizes = {}
    for path in tracker.list_files(one, "pictures"):
        (home / "p.png").write_bytes(tracker.read_file(one, path))
        sizes[path] = imread(home / "p.png").shape[0]
    assert sizes["pictures/overlay_0_a.png"] == sizes["pictures/projection_0_a.png"] > 32
    assert sizes["pictures/strip_0_a.png"] == 32
    again = {"overlay_0_a.png": (home / "p.png").read_bytes(), "rows.json": b"[]"}
    log_trial_pictures(tracker, one, again, "t", ENDED)
    assert tracker.list_files(one, "images") == shown[one], "never twice"
    named = {f"overlay_{c}_0_a.png": again["overlay_0_a.png"] for c in ("Gefäß", "left-hand a")}
    log_trial_pictures(tracker, one, named, "t", ENDED)
    assert len({_key_of(path) for path in tracker.list_files(one, "images")}) == 3


def test_a_server_that_went_away_is_named_by_its_address(monkeypatch):
    def gone(_, name):
        raise MlflowException("Max retries exceeded")

    monkeypatch.setattr(runs_page.MlflowClient, "get_experiment_by_name", gone)
    assert browse("http://127.0.0.1:9", "s") == "http://127.0.0.1:9"
