"""Masks of another tool beside a trial that failed: they are scored, and nothing is trained."""

import argparse
import sys
from dataclasses import replace

import pytest

from tests.intake.files import ALL, npz
from tests.sweeps.untrained import store_stages
from vpbsd.cli import run_main
from vpbsd.data.volumes import list_volumes, open_volume
from vpbsd.overrides import override
from vpbsd.settings import laptop
from vpbsd_sweeps.cli.external import left_alone, with_arms
from vpbsd_sweeps.commands import ablation, report
from vpbsd_sweeps.drivers import sweep
from vpbsd_sweeps.drivers.sweep import drive
from vpbsd_sweeps.reporting.records import load_records
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.external import given_masks
from vpbsd_sweeps.study.plan import make_plan
from vpbsd_sweeps.study.study import Study
from vpbsd_sweeps.tracking import tags as tag
from vpbsd_sweeps.tracking.tracker import Tracker, open_tracker

LOST = "kd-fold1-seed0"
WORDS = ["--arms", "light_unet,kd", "--folds", "2", "--study", "s"]


GIVEN = ["--external", "tool=masks"]


def must_not_run(*words):
    raise AssertionError("a stage is run")


@pytest.fixture(scope="module")
def world(tmp_path_factory, folder):
    """A study that has ended but for one trial, which failed; masks whose scores are known."""
    home = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr(sweep, "join", must_not_run)
        (home / "data").mkdir()
        for path in folder.glob("*.zarr"):
            (home / "data" / path.name).symlink_to(path)
        volumes = list_volumes(home / "data")
        (home / "masks").mkdir()
        for volume in (v for v in volumes if v.labelled):
            mask = open_volume(volume).label_block(ALL)
            npz(
                home / "masks" / f"{volume.name}.npz", image=mask, spacing_zyx_um=volume.spacing_um
            )
        store = Store(str(home / "store"))
        settings = override(laptop(), {"protocol.folds": 2})
        study = Study("s", settings, volumes, ("light_unet", "kd"))
        lost = next(trial.stage for trial in study.trials if trial.id == LOST)
        tested = [part.volume.name for fold in study.folds for part in fold.test]
        masks = given_masks({"tool": str(home / "masks")}, [], volumes, tested)
        every = with_arms(study, masks).stages()
        store_stages(store, [stage for stage in every if stage.key != lost.key])
        places = ["--store", store.url, "--tracking", f"sqlite:///{home}/mlflow.db"]
        drive(make_plan(study, store), store, places[3], trains=False)
        tracker = Tracker(places[3], "s")
        run_id = tracker.get_or_create_run(f"trial:{LOST}", LOST, None, {}, {})
        tracker.set_tags(run_id, {tag.VOID: "the loss is not finite"})
        tracker.end(f"trial:{LOST}", "FAILED")

        def run(main, *words):
            patch.setattr(sys, "argv", ["program", *words, *places, "--data", "data"])
            with pytest.raises(SystemExit) as ended:
                run_main(main)
            return ended.value.code

        yield study, store, places[3], run


def outcomes(tracking):
    records = load_records(open_tracker(tracking, "s"), "s")
    return {t.name: (t.status, t.void) for t in records.trials}


def test_a_sweep_that_adds_masks_to_an_ended_study_adds_nothing_else(world, capsys):
    _, _, tracking, run = world
    says = f"({LOST}): the same command without --external trains what is missing\n"
    assert run(ablation.main, *WORDS, *GIVEN, "--plan") == 0
    assert says in capsys.readouterr().out
    assert run(ablation.main, *WORDS, *GIVEN, "--max-gpu-hours", "0") == 1
    printed = capsys.readouterr().out
    assert says in printed
    assert "tool (external)" in printed
    ended = outcomes(tracking)
    assert ended["external:tool-fold0-seed0"] == ("FINISHED", "")
    assert ended[LOST] == ("FAILED", "the loss is not finite")


def test_a_report_scores_masks_and_names_what_has_failed(world, capsys):
    _, _, tracking, run = world
    assert run(report.main, "s", "--external", "other=masks", "--out", "r") == 0
    printed = capsys.readouterr()
    assert (
        f"1 trial has no result, and only masks are scored ({LOST}): the command that ran the "
        "study trains what is missing\n" in printed.err
    )
    assert "other (external)" in printed.out
    assert outcomes(tracking)[LOST] == ("FAILED", "the loss is not finite")


def test_whoever_asks_for_more_than_masks_has_it_trained(world):
    study, store, _, _ = world
    given = argparse.Namespace(external=["tool=masks"])

    def left(args, **more):
        return left_alone(args, make_plan(replace(study, **more), store), store)

    assert left(given) == [LOST]
    assert left(argparse.Namespace(external=[])) == []
    assert left(given, seeds=(0, 1)) == []
    assert left(given, arms=("mt",)) == []
    noted = store.studies.read_json("s/verdict.json")
    store.studies.write_json("s/verdict.json", {**noted, "trials": noted["trials"] - 1})
    assert left(given) == [], "its driver was interrupted, and is to go on"
    store.studies.write_json("s/verdict.json", noted)


def test_whoever_gives_no_masks_trains(world):
    *_, run = world
    with pytest.raises(AssertionError, match="a stage is run"):
        run(ablation.main, *WORDS)
