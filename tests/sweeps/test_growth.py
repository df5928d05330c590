"""A study grows by arms and seeds under its name; what exists is reused, all else is refused."""

import json
import re
import shutil
import sys
from dataclasses import replace

import pytest

from tests.sweeps.test_examinations import commit
from tests.test_stage_keys import info
from vpbsd.cli import run_main
from vpbsd.errors import BadInput
from vpbsd.overrides import override
from vpbsd.settings import laptop
from vpbsd_sweeps.commands import ablation
from vpbsd_sweeps.drivers.sweep import drive
from vpbsd_sweeps.monitor.status import standing
from vpbsd_sweeps.reporting.records import load_records
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.growth import grown
from vpbsd_sweeps.study.label_studies import label_studies, make_label_plan
from vpbsd_sweeps.study.plan import make_plan
from vpbsd_sweeps.study.study import Study
from vpbsd_sweeps.tracking.tracker import open_tracker

VOLUMES = tuple(info(n, labelled=n < 5) for n in range(8))
SETTINGS = override(laptop(), {"protocol.folds": 2})
FIRST = Study("s", SETTINGS, VOLUMES, ("teacher", "light_unet"))


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A folder in which the first study has ended."""
    home = tmp_path_factory.mktemp("first")
    finish(FIRST, *at(home))
    return home


@pytest.fixture
def place(ended, tmp_path):
    """A copy of it: its store, the URI of its MLflow, and room for files."""
    return at(shutil.copytree(ended, tmp_path / "copy"))


def at(home):
    return Store(str(home / "store")), f"sqlite:///{home}/mlflow.db", home


def finish(study, store, uri, room):
    """Drives a study whose stages are stored by hand, so that no Ray is needed."""
    plan = make_plan(study, store)
    for stage in plan.inventory.missing:
        commit(store, room, stage)
    return drive(plan, store, uri)


def places(uri):
    return {
        trial.place: trial.run_id for trial in load_records(open_tracker(uri, "s"), "s").trials
    }


def test_an_arm_does_not_grow_to_the_table_of_its_name():
    known = replace(FIRST, arms=("light_unet", "simcvd"))
    more = replace(FIRST, arms=("kd",))
    assert grown(more, known.identity).arms == ("light_unet", "simcvd", "kd")


@pytest.mark.slow
def test_more_arms_and_seeds_add_trials_and_keep_those_there_are(place):
    store, uri, room = place
    before = places(uri)
    assert len(before) == 4
    more = replace(FIRST, arms=("kd",), seeds=(0, 1))
    plan = make_plan(more, store)
    assert "grows by arms kd and seeds 1: 6 new trials beside 4" in plan.lines()
    table, complete = finish(more, store, uri, room)
    assert complete
    after = places(uri)
    assert before.items() < after.items(), "the same runs"
    arms, folds, seeds = ("light_unet", "kd"), (0, 1), (0, 1)
    asked = {(arm, fold, seed) for arm in arms for fold in folds for seed in seeds}
    assert after.keys() == asked | {("teacher", fold, 0) for fold in folds}
    assert "KD" in table
    records = load_records(open_tracker(uri, "s"), "s")
    assert records.arms == ["teacher", "light_unet", "kd"]
    assert records.tags["arms"] == "teacher light_unet kd"
    assert records.missing == ()
    assert "10 of 10 trials" in list(standing("s", store))
    assert table.endswith(list(standing("s", store))[-1]), "the verdict"


def test_a_study_that_grew_keeps_its_work_and_the_first_command_asks_for_nothing_new(place):
    store, uri, room = place
    finish(replace(FIRST, arms=("kd",)), store, uri, room)
    outline = store.studies.read_json("s/outline.json")
    assert {stage["before"] for stage in outline["stages"]} == {False}, "all of it is its own"
    again = make_plan(FIRST, store)
    assert again.study.arms == ("teacher", "light_unet", "kd")
    assert not any(line.startswith("grows") for line in again.lines())
    assert again.inventory.missing == []


@pytest.mark.slow
def test_two_that_grew_a_study_at_once_both_find_their_trials(place):
    """The second planned before the first one had recorded its arm."""
    store, uri, room = place
    second = make_plan(replace(FIRST, arms=("vid",)), store)
    for stage in second.inventory.missing:
        commit(store, room, stage)
    finish(replace(FIRST, arms=("kd",)), store, uri, room)
    drive(second, store, uri)
    assert {arm for arm, _, _ in places(uri)} == {"teacher", "light_unet", "kd", "vid"}


def test_each_changed_setting_is_refused_with_both_values(place):
    store, _, _ = place
    changes = {"student.gamma": 0.5, "finetune.epochs": 7}
    with pytest.raises(BadInput) as refused:
        make_plan(replace(FIRST, settings=override(SETTINGS, changes), arms=("kd",)), store)
    text = str(refused.value)
    old = SETTINGS.finetune.epochs
    assert f"settings.finetune.epochs: {old} before, 7 now; settings.student.gamma: 0.1" in text
    assert "--study NAME" in text
    assert "kd" not in text, "an arm may be added"


def test_more_folds_are_refused_with_the_reason(place):
    store, _, _ = place
    more = replace(FIRST, settings=override(SETTINGS, {"protocol.folds": 3}))
    with pytest.raises(BadInput, match=r"folds: 2 before, 3 now, and then each volume is tested"):
        make_plan(more, store)


def test_the_metric_that_decides_is_declared_once():
    """What a study declared stays; DSC, which older studies mean, is in no identity."""
    declared = replace(FIRST, primary="cldice").identity
    assert grown(FIRST, declared).primary == "cldice"
    assert grown(replace(FIRST, primary="cldice"), declared).identity == declared
    for other, known in (("smd", declared), ("dsc", declared), ("smd", FIRST.identity)):
        with pytest.raises(BadInput, match="primary: .*chosen before results are seen"):
            grown(replace(FIRST, primary=other), known)
    assert grown(replace(FIRST, primary="dsc"), FIRST.identity).identity == FIRST.identity


def test_other_data_are_refused_in_words(place):
    store, _, _ = place
    with pytest.raises(BadInput, match=r"\(data: other volumes, labels or groups than before\)"):
        make_plan(replace(FIRST, volumes=VOLUMES[:-1]), store)


def test_label_studies_grow_too(place):
    store, _, _ = place
    for study in label_studies(FIRST, (1, None)).studies:
        store.studies.write_json(f"{study.name}/study.json", study.identity)
    more = label_studies(replace(FIRST, arms=("kd",)), (1, 2, None))
    lines = list(make_label_plan(more, store).lines())
    assert lines.count("grows by arms kd: 2 new trials beside 4") == 2
    assert any(re.match(r"study s-labels2: 1 arms, ", line) for line in lines), "a new one"


def test_plan_says_either(folder, tmp_path, monkeypatch, capsys):
    def plan(*words):
        words = ["--plan", "--data", folder, "--store", tmp_path, "--study", "s", *words]
        monkeypatch.setattr(sys, "argv", ["ablation", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            run_main(ablation.main)
        return ended.value.code

    assert plan("--arms", "light_unet", "--folds", "2") == 0
    store = Store(str(tmp_path))
    identity = json.loads(json.dumps(_asked(folder).identity))
    store.studies.write_json("s/study.json", identity)
    capsys.readouterr()
    assert plan("--arms", "kd", "--folds", "2") == 0
    assert "grows by arms kd: 2 new trials beside 2" in capsys.readouterr().out
    assert plan("--arms", "kd", "--folds", "2", "--set", "student.beta=2") == 2
    assert "settings.student.beta: 1.0 before, 2.0 now" in capsys.readouterr().err


def _asked(folder):
    from vpbsd.data.volumes import list_volumes

    return Study("s", SETTINGS, list_volumes(folder), ("light_unet",))
