"""Thresholds as arms of a study: one stage per fold, no timing, a row, and what beats what."""

import pytest

from tests.sweeps.test_tables import analysed, row_of, trial
from vpbsd.pipeline.run import run
from vpbsd_sweeps.execution.jobs import job_of
from vpbsd_sweeps.reporting.grid import signed
from vpbsd_sweeps.reporting.records import trial_result
from vpbsd_sweeps.reporting.tables import main_table
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.plan import make_plan
from vpbsd_sweeps.study.study import Study
from vpbsd_sweeps.tracking import tags as tag
from vpbsd_sweeps.tracking.sweep_runs import SweepLogger
from vpbsd_sweeps.tracking.tracker import Tracker

ARMS = ("light_unet", "threshold", "otsu")


def test_a_study_has_one_stage_per_threshold_and_fold(volumes, tiny, cheap, tmp_path):
    study = Study("s", tiny, volumes, ARMS, seeds=(3, 4), timed=True)
    own = [t for t in study.trials if t.arm != "light_unet"]
    assert len(own) == 2 * 3
    assert all(list(t.stage.lineage()) == [t.stage] for t in own)
    assert {study.timing(t) for t in own} == {None}
    assert len(study.timings) == 1
    assert {job_of(t.stage).family for t in own} == {"evaluation"}
    lines = list(make_plan(study, Store(str(tmp_path))).lines())
    assert any(line.split()[:2] == ["evaluation", "12"] for line in lines)


@pytest.mark.slow
def test_a_threshold_is_logged_like_any_trial(volumes, tiny, cheap, tmp_path):
    """It has no network: no curve, no teacher, but metrics, its threshold and pictures."""
    study = Study("s", tiny, volumes, ("threshold", "otsu"))
    store = Store(str(tmp_path / "store"))
    for number, one in enumerate(study.trials):
        folder = tmp_path / str(number)
        folder.mkdir()
        list(run(one.stage.spec, {}, folder))
        known = {"seconds": 1.0, "finished": 1e9, "void": None}
        store.commit(one.stage.key, folder, {**known, "label": one.arm})
    tracker = Tracker(f"sqlite:///{tmp_path}/mlflow.db", "s", (tmp_path / "files").as_uri())
    SweepLogger(study, store, tracker, make_plan(study, store)).catch_up()
    found = [trial_result(run) for run in tracker.runs(tag.of_kind(tag.TRIAL_KIND))]
    assert {t.status for t in found} == {"FINISHED"}
    assert sorted(t.arm for t in found) == ["otsu"] * 3 + ["threshold"] * 3
    assert all(0 < t.score("dsc") < 1 for t in found)
    chosen = next(t for t in found if t.arm == "threshold")
    assert {"threshold", "scale_percentile", "training_dsc"} <= chosen.numbers.keys()


@pytest.mark.parametrize(("fair", "said"), [(0.7, True), (0.5, False)])
def test_a_table_says_when_no_network_beats_a_threshold(fair, said):
    """A threshold has one seed, and is set against every seed of a student."""
    dsc = {"light_unet": 0.6, "teacher": 0.55, "threshold": fair, "otsu": 0.9}
    trials = [
        trial(arm, fold, seed, [value + seed / 10])
        for arm, value in dsc.items()
        for fold in range(2)
        for seed in ((0, 1) if arm == "light_unet" else (0,))
    ]
    analysis = analysed(trials, seeds=(0, 1))
    notes = main_table(analysis).notes
    line = (
        "No network beats a threshold: one chosen on the training groups reaches DSC 0.700; "
        "the best student, Light UNet (baseline), 0.650."
    )
    assert (line in notes) == said
    assert any("Light UNet (baseline), less the threshold" in note for note in notes)
    assert f"DSC {signed(0.65 - fair)} (95 %" in " ".join(notes)
    row, _ = row_of("Threshold of the training groups", analysis)
    assert row["dsc"].text.startswith(f"{fair:.3f}")
    assert main_table(analysis).rows[-1][0].text == "best single threshold (knows the label)"
    compared = analysis.comparison("threshold", "dsc")
    assert compared.test.difference == pytest.approx(fair - 0.65)
