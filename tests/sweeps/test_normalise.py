"""A study whose folds choose their normalisation: identity, keys, plan, and a run to its end."""

import json
import shutil
import sys
from dataclasses import replace

import pytest

from vpbsd.cli import run_main
from vpbsd_sweeps.commands import ablation
from vpbsd_sweeps.monitor.status import standing
from vpbsd_sweeps.reporting.checks import flags
from vpbsd_sweeps.reporting.html import ran
from vpbsd_sweeps.reporting.records import StageRun, StudyRecords, TrialResult, load_records
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study import normalisation
from vpbsd_sweeps.study.normalisation import majority, select, selection_lines
from vpbsd_sweeps.study.study import Study
from vpbsd_sweeps.tracking.tracker import open_tracker

CHOICES = {0: {"data.clip_percentile": 99.5}, 2: {"data.clip_percentile": 95.0}}
SETTINGS = ["data.patch=[32,32,64]", "student.optim.epochs=1", "student.optim.steps_per_epoch=2"]


@pytest.fixture
def plain(volumes, tiny):
    return Study("s", tiny, volumes, ("light_unet", "vpbsd"))


def percentiles(study, fold):
    stages = [s for t in study.trials if t.fold == fold for s in t.stage.lineage()]
    return {stage.config.data.clip_percentile for stage in stages}


def test_a_choice_changes_teacher_and_students_of_its_fold_alone(plain, cheap):
    chosen = replace(plain, choices=CHOICES)
    assert [percentiles(chosen, fold) for fold in range(3)] == [{99.5}, {95.0}, {95.0}]
    keys, own = ({t.id: t.stage.key for t in s.trials} for s in (plain, chosen))
    assert {name for name in keys if keys[name] != own[name]} == {
        "light_unet-fold0-seed0",
        "vpbsd-fold0-seed0",
    }


def test_a_choice_is_part_of_the_identity_and_its_absence_is_not(plain):
    assert "choices" not in plain.identity
    chosen = replace(plain, choices=CHOICES)
    assert chosen.identity == {
        **plain.identity,
        "choices": {"0": {"data.clip_percentile": 99.5}, "2": {"data.clip_percentile": 95.0}},
    }


def write(store, room, stage, groups):
    """Commits an evaluation with one volume of DSC per group."""
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir()
    rows = [{"volume": f"v{g}", "group": g, "dsc": dsc} for g, dsc in groups.items()]
    (room / "rows.json").write_text(json.dumps(rows))
    (room / "summary.json").write_text(json.dumps({"numbers": {}, "void": None}))
    (room / "stage.json").write_text("{}")
    store.commit(stage.key, room, {"seconds": 1.0})


def test_what_is_stored_decides_and_what_failed_is_left_out(plain, tmp_path):
    store = Store(str(tmp_path / "store"))
    selection = select("s", plain.settings, plain.folds)
    base = {name: 0.5 + 0.1 * place for place, name in enumerate(selection.candidates)}
    *_, second, last = base
    for trial in selection.trials:
        if (trial.candidate, trial.fold, trial.inner) != (last, 1, 1):
            tested = {p.volume.group for p in trial.stage.parts["test"]}
            scores = dict.fromkeys(tested, base[trial.candidate])
            if store.state(trial.stage.key) != "stored":
                write(store, tmp_path / "room", trial.stage, scores)
    decisions = selection.decisions(store)
    lost = {t.fold for t in selection.trials if store.state(t.stage.key) != "stored"}
    assert 1 in lost
    assert [d.chosen for d in decisions] == [second if f in lost else last for f in range(3)]
    choices = selection.choices(decisions)
    assert choices[1] == selection.candidates[second]


def test_a_plan_says_what_is_chosen_from_and_what_it_costs(plain, tmp_path):
    selection = select("s", plain.settings, plain.folds)
    lines = list(selection_lines(selection, selection.inventory(Store(str(tmp_path)))))
    count = len(selection.candidates)
    assert f"among {', '.join(selection.candidates)}, on training groups alone" in lines[0]
    # a student on one of three animals serves two folds, and is tested on another in each
    assert lines[1].startswith(
        f"  {6 * count} inner trials on {3 * count} short students and {6 * count} evaluations, "
        "0 of these stages stored; work left "
    )


def test_a_fold_of_one_narrow_training_group_keeps_the_preset(plain, tmp_path):
    one = replace(plain.folds[0], train=plain.folds[0].train[:1])
    selection = select("s", plain.settings, (one,))
    store = Store(str(tmp_path))
    lines = list(selection_lines(selection, selection.inventory(store)))
    assert "too narrow to be halved" in lines[2]
    assert selection.choices(selection.decisions(store)) == {}


def test_final_training_takes_what_most_folds_chose():
    first, second, *_ = select("", None, ()).candidates.values()
    assert majority({"0": first, "1": second, "2": second}) == (second, 2)
    assert majority({"0": second, "1": first}) == (first, 1), "the earlier candidate of a tie"


def records_of(intensities, choices, lost=()):
    """Made-up records: arm -> fold -> how its evaluation read data; `lost` ones never ended."""
    stages, trials = {}, []
    for arm, by_fold in intensities.items():
        for fold, params in enumerate(by_fold):
            key = f"{arm}{fold}"
            params = {"data.patch": "p", "data.clip_percentile": "95.0", **params}
            stages[key] = StageRun(key, {"key": key, "family": "evaluation"}, params, {})
            if (arm, fold) not in lost:
                trials.append(
                    TrialResult(key, arm, fold, 0, "FINISHED", "", {}, stages={"e": key})
                )
    identity = {"arms": list(intensities), **({"choices": {"0": {}}} if choices else {})}
    tags = {"facts": json.dumps(identity)}
    return StudyRecords("s", "1", "p", tags, tuple(trials), (), (), (), stages, None)


ZSCORE = {"data.intensity": "zscore"}


def test_folds_that_chose_differently_flag_no_arm():
    same = {arm: [{}, ZSCORE] for arm in ("light_unet", "vpbsd")}
    assert flags(records_of(same, choices=True), "light_unet") == {}
    partial = records_of(same, choices=True, lost=[("vpbsd", 1)])
    assert flags(partial, "light_unet") == {}


def test_an_arm_that_read_other_data_is_flagged():
    """What came later is absent at its default: it must not pass for nothing."""
    other = {"light_unet": [{}, ZSCORE], "vpbsd": [ZSCORE, ZSCORE]}
    (line,) = flags(records_of(other, choices=True), "light_unet")["vpbsd"]
    assert line == "data.intensity in fold 0: zscore (baseline percentile)"
    (line,) = flags(records_of(other, choices=False), "light_unet")["vpbsd"]
    assert line == "data.intensity: zscore (baseline percentile)"


FEW = {"p95": {"data.clip_percentile": 95.0}, "batch": {"student.network.norm": "batch"}}


@pytest.fixture(scope="module")
def asked(tmp_path_factory, folder, two_cores):
    """The folder of a study, and how to run it with some words more.

    Fold 0 trains on one animal, which is halved, fold 1 on two.
    """
    home = tmp_path_factory.mktemp("auto")
    places = ["--store", home / "store", "--tracking", f"sqlite:///{home}/mlflow.db"]
    words = [*places, "--data", folder, "--study", "s", "--arms", "light_unet", "--folds", 2]
    words += [word for change in SETTINGS for word in ("--set", change)]

    def again(*more):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(home)
            patch.setattr(normalisation, "CANDIDATES", FEW)
            patch.setattr(sys, "argv", ["ablation", *map(str, [*words, *more])])
            with pytest.raises(SystemExit) as ended:
                run_main(ablation.main)
        return ended.value.code

    return home, again


@pytest.fixture(scope="module")
def run(asked):
    """The same when it has ended."""
    assert asked[1]("--normalise", "auto") == 0
    return asked


@pytest.mark.slow
def test_a_study_that_chooses_trains_once(run, capsys):
    home, again = run
    manifests = sorted((home / "store" / "results").glob("*/manifest.json"))
    times = [path.stat().st_mtime for path in manifests]
    capsys.readouterr()
    assert again("--normalise", "auto", "--plan") == 0
    planned = capsys.readouterr().out
    assert planned.count("inner DSC") == 2
    assert "not chosen yet" not in planned
    assert again("--normalise", "auto") == 0
    assert "- fold 0: " in capsys.readouterr().out
    assert sorted((home / "store" / "results").glob("*/manifest.json")) == manifests
    assert [path.stat().st_mtime for path in manifests] == times


@pytest.mark.slow
def test_the_choice_is_in_mlflow_and_flags_nothing(run):
    home, _ = run
    tracker = open_tracker(f"sqlite:///{home}/mlflow.db", "s")
    records = load_records(tracker, "s")
    assert records.tags["normalise"].count("inner DSC") == 2
    assert tracker.read_file(records.parent, "normalise.md").decode() == records.tags["normalise"]
    assert "inner DSC" in dict(ran(records))["normalisation, fold 1"]
    assert set(records.identity["choices"]) == {"0", "1"}
    assert flags(records, "light_unet") == {}
    inner = open_tracker(f"sqlite:///{home}/mlflow.db", "s-normalise")
    trials = list(inner.runs("tags.`vpbsd.kind` = 'normalise-trial'"))
    assert {run.status for run in inner.runs()} == {"FINISHED"}
    assert len(trials) == 4 * len(FEW)
    assert all("test/dsc" in run.metrics for run in trials)


@pytest.mark.slow
def test_the_status_shows_the_choice(run):
    home, _ = run
    lines = list(standing("s-normalise", Store(str(home / "store"))))
    assert "student        |      8 |     0" in lines
    assert "8 of 8 trials" in lines


@pytest.mark.slow
def test_the_same_name_without_the_choice_is_another_study(run, capsys):
    _, again = run
    assert again() == 2
    assert "was started with another configuration (choices" in capsys.readouterr().err


def test_an_unknown_way_is_refused(asked, capsys):
    assert asked[1]("--normalise", "autom") == 2
    assert "did you mean 'auto'?" in capsys.readouterr().err


def test_what_is_chosen_is_not_set_too(asked, capsys):
    assert asked[1]("--normalise", "auto", "--set", "data.clip_percentile=99") == 2
    assert "data.clip_percentile is chosen by --normalise auto" in capsys.readouterr().err
