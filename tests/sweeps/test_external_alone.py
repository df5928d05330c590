"""Masks of another tool beside a trial that failed: they are scored, and nothing is trained."""

import sys

import pytest

from tests.intake.files import ALL, npz
from tests.sweeps.untrained import store_stages
from vpbsd.cli import run_main
from vpbsd.data.volumes import list_volumes, open_volume
from vpbsd.overrides import override
from vpbsd.settings import laptop
from vpbsd_sweeps.cli.external import with_arms
from vpbsd_sweeps.commands import ablation, report
from vpbsd_sweeps.drivers import sweep
from vpbsd_sweeps.drivers.sweep import drive
from vpbsd_sweeps.reporting.records import load_records
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.external import given_masks
from vpbsd_sweeps.study.plan import make_plan
from vpbsd_sweeps.study.study import Study
from vpbsd_sweeps.tracking.tracker import Tracker, open_tracker

LOST = "kd-fold1-seed0"
WORDS = ["--arms", "light_unet,kd", "--folds", "2", "--study", "s"]


def must_not_run(*words):
    raise AssertionError("a stage is run")


@pytest.fixture
def world(tmp_path, folder, monkeypatch):
    """A study that has ended but for one trial, which failed; masks whose scores are known."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweep, "join", must_not_run)
    (tmp_path / "data").mkdir()
    for path in folder.glob("*.zarr"):
        (tmp_path / "data" / path.name).symlink_to(path)
    volumes = list_volumes(tmp_path / "data")
    (tmp_path / "masks").mkdir()
    for volume in (v for v in volumes if v.labelled):
        mask = open_volume(volume).label_block(ALL)
        spacing = {"spacing_zyx_um": volume.spacing_um}
        npz(tmp_path / "masks" / f"{volume.name}.npz", image=mask, **spacing)
    store = Store(str(tmp_path / "store"))
    settings = override(laptop(), {"protocol.folds": 2})
    study = Study("s", settings, volumes, ("light_unet", "kd"))
    lost = next(trial.stage for trial in study.trials if trial.id == LOST)
    tested = [part.volume.name for fold in study.folds for part in fold.test]
    masks = given_masks({"tool": str(tmp_path / "masks")}, [], volumes, tested)
    every = with_arms(study, masks).stages()
    store_stages(store, [stage for stage in every if stage.key != lost.key])
    places = ["--store", store.url, "--tracking", f"sqlite:///{tmp_path}/mlflow.db"]
    drive(make_plan(study, store), store, places[3], trains=False)
    tracker = Tracker(places[3], "s")
    tracker.get_or_create_run(f"trial:{LOST}", LOST, None, {}, {
        "vpbsd.kind": "trial", "vpbsd.arm": "kd", "vpbsd.fold": "1", "vpbsd.seed": "0",
        "vpbsd.void": "the loss is not finite",
    })  # fmt: skip
    tracker.end(f"trial:{LOST}", "FAILED")

    def run(main, *words):
        monkeypatch.setattr(sys, "argv", ["program", *words, *places, "--data", "data"])
        with pytest.raises(SystemExit) as ended:
            run_main(main)
        return ended.value.code

    return run, places


GIVEN = ["--external", "tool=masks"]


def outcomes(tracking):
    records = load_records(open_tracker(tracking, "s"), "s")
    return {t.name: (t.status, t.void) for t in records.trials}


def test_a_report_scores_masks_and_names_what_has_failed(world, capsys):
    run, places = world
    assert run(report.main, "s", *GIVEN, "--out", "r") == 0
    printed = capsys.readouterr()
    assert (
        f"1 trial has no result, and only masks are scored ({LOST}): the command that ran the "
        "study trains what is missing\n" in printed.err
    )
    assert "tool (external)" in printed.out
    ended = outcomes(places[3])
    assert ended["external:tool-fold0-seed0"] == ("FINISHED", "")
    assert ended[LOST] == ("FAILED", "the loss is not finite")


def test_a_sweep_that_adds_masks_to_an_ended_study_adds_nothing_else(world, capsys):
    run, places = world
    says = f"({LOST}): the same command without --external trains what is missing\n"
    assert run(ablation.main, *WORDS, *GIVEN, "--plan") == 0
    assert says in capsys.readouterr().out
    assert run(ablation.main, *WORDS, *GIVEN, "--max-gpu-hours", "0") == 1
    printed = capsys.readouterr().out
    assert says in printed
    assert "tool (external)" in printed
    assert outcomes(places[3])[LOST] == ("FAILED", "the loss is not finite")


@pytest.mark.parametrize("more", [[], [*GIVEN, "--seeds", "0,1"], [*GIVEN, "--arms", "mt"]])
def test_whoever_asks_for_more_than_masks_has_it_trained(world, more):
    run, _ = world
    with pytest.raises(AssertionError, match="a stage is run"):
        run(ablation.main, *WORDS, *more)


def test_an_unfinished_study_goes_on_with_its_masks(world):
    """It was interrupted before its end, which is when the verdict is noted."""
    run, places = world
    Store(places[1]).files.remove("studies/s/verdict.json")
    with pytest.raises(AssertionError, match="a stage is run"):
        run(ablation.main, *WORDS, *GIVEN)
