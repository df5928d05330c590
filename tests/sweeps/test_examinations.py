"""Examinations stand beside trials: which there are, and what one that fails does to a study."""

from __future__ import annotations

import json

import pytest

from tests.sweeps.test_tables import analysed, many_groups, row_of, trial
from vpbsd.pipeline.arms import ARMS
from vpbsd.pipeline.trust import LEAD
from vpbsd_sweeps.drivers.sweep import _chains
from vpbsd_sweeps.monitor.accounting import Tally
from vpbsd_sweeps.monitor.status import _stages
from vpbsd_sweeps.reporting.analysis import analyse
from vpbsd_sweeps.reporting.code_table import code_table
from vpbsd_sweeps.reporting.html import code_numbers
from vpbsd_sweeps.reporting.records import StageRun, load_records
from vpbsd_sweeps.reporting.tables import document, main_table
from vpbsd_sweeps.reporting.teacher_table import teacher_table
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.plan import make_plan, outline
from vpbsd_sweeps.study.study import Study
from vpbsd_sweeps.study.void import examined_by
from vpbsd_sweeps.tracking.sweep_runs import SweepLogger
from vpbsd_sweeps.tracking.tracker import Tracker

WHY = "codes do not change the mask (Dice 0.999 with another patch's)"


def test_arms_that_learn_code_words_are_examined_once_per_teacher(volumes, tiny, cheap):
    study = Study("s", tiny, volumes, tuple(ARMS), seeds=(0, 1))
    first = [t for t in study.trials if t.fold == 0]
    found = {t.arm: e for t in first if (e := examined_by(t.stage)) is not None}
    shared = {"vpbsd", "vpbsd_wo_semi", "vpbsd_soft_pseudo", "vpbsd_cldice"}
    shared |= {"vpbsd_turned_codes"}
    alone = {"da_conv1", "da_linear", "da_chsel", "da_linear_flat"}
    alone |= {"vpbsd_no_gumbel", "vpbsd_no_pretrain", "vpbsd_fine_codes"}
    assert found.keys() == shared | alone
    assert len({found[arm].key for arm in shared}) == 1
    assert len(study.examinations) == 3 * len({stage.key for stage in found.values()})
    tested = {part.volume.name for t in first for part in t.stage.parts["test"]}
    for stage in found.values():
        assert stage.parts.keys() == {"labelled"}
        assert tested.isdisjoint(part.volume.name for part in stage.parts["labelled"])
    assert found["vpbsd"].upstream.keys() == {"teacher", "pretrained"}
    assert found["vpbsd_no_pretrain"].upstream.keys() == {"teacher"}


def test_examinations_come_last_and_hurry_no_teacher(volumes, tiny, cheap, tmp_path):
    study = Study("s", tiny, volumes, ("light_unet", "vpbsd"), timed=True)
    plan = make_plan(study, Store(str(tmp_path / "store")))
    families = [stage.family for stage in plan.inventory.stages]
    assert families[-4:] == ["examination"] * 3 + ["timing"]
    row = next(line for line in plan.lines() if line.startswith("examination"))
    assert [word for word in row.split() if word.isdigit()] == ["3", "3", "0", "0"]
    chains = _chains(plan)
    assert len({chain.trial for chain in chains}) == len(chains) == 6 + 3 + 1
    ends = [chain.jobs[-1].family for chain in chains]
    assert ends == ["evaluation"] * 6 + ["examination"] * 3 + ["timing"]
    assert [len(told["unproven_by"]) for told in outline(plan)["trials"]] == [0, 1] * 3


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


def commit(store, tmp_path, stage, numbers=None, void=None):
    """Stores a result that nobody computed."""
    folder = tmp_path / stage.key
    folder.mkdir()
    dsc = 0.6 if "vpbsd" in stage.label else 0.5
    rows = [{"volume": "v", "group": "g", "dsc": dsc, "time": 1e9}]
    texts = {"stage": stage.describe(), "rows": rows if stage.family == "evaluation" else []}
    texts["summary"] = {"numbers": numbers or {}, "void": void}
    for name, text in texts.items():
        (folder / f"{name}.json").write_text(json.dumps(text))
    known = {"family": stage.family, "void": void, "seconds": 1.0, "threads": 1.0}
    store.commit(stage.key, folder, known | {"finished": 1e9, "label": stage.label})


def test_a_study_that_ended_before_is_examined_later(volumes, tiny, cheap, store, tmp_path):
    """Its trials are finished in MLflow; nothing is missing but the examinations."""
    study = Study("s", tiny, volumes, ("light_unet", "vpbsd"))
    beside = {stage.key for stage in study.examinations}
    for stage in study.stages():
        if stage.key not in beside:
            commit(store, tmp_path, stage)
    tracker = Tracker(f"sqlite:///{tmp_path}/m.db", "s", (tmp_path / "artifacts").as_uri())
    SweepLogger(study, store, tracker, make_plan(study, store)).catch_up()
    before = load_records(tracker, "s")
    assert not any(t.unproven or t.examination for t in before.trials)
    assert not code_table(before).rows
    plan = make_plan(study, store)
    assert {stage.key for stage in plan.inventory.missing} == beside
    assert len(_chains(plan)) == 3, "nothing else is run"

    fails, *pass_ = study.examinations
    commit(store, tmp_path, fails, {"training_dsc": 0.91, "swapped_dice": 0.999}, WHY)
    for stage in pass_:
        commit(store, tmp_path, stage, {"training_dsc": 0.9, "swapped_dice": 0.5})
    SweepLogger(study, store, tracker, plan).catch_up()
    records = load_records(tracker, "s")
    assert [(t.arm, t.fold) for t in records.trials if t.unproven] == [("vpbsd", 0)]
    assert [t.run_id for t in records.trials] == [t.run_id for t in before.trials]
    assert all(t.counts for t in records.trials)
    rows = [[item.text for item in row] for row in code_table(records).rows]
    assert [row[:3] + row[-2:] for row in rows] == [
        ["VpbSD", "0", "0.999", "0.910", "fails"],
        ["VpbSD", "1", "0.500", "0.900", "passes"],
        ["VpbSD", "2", "0.500", "0.900", "passes"],
    ]
    text = document(analyse(records, "light_unet"))
    assert "## What the code words carry" in text
    assert f"‖ VpbSD: unproven, so never bold nor the best: {WHY} (fold 0 seed 0)" in text

    tally = Tally(outline(plan), store)
    tally.take(stage.key for stage in study.stages())
    assert tally.unproven() == ["vpbsd"]
    assert tally.best().startswith("best so far: Light UNet (baseline), test DSC 0.500")
    assert "unproven, so never the best: VpbSD" in list(_stages(outline(plan), store))


def test_a_table_of_teachers_where_they_were_measured():
    """Fold 0's teacher led by .02, that of fold 1 was .05 worse; a plain arm has no number."""
    trials = [
        trial("vpbsd", 0, 0, [0.6], numbers={LEAD: 0.02}),
        trial("vpbsd_wo_dis", 0, 0, [0.5], numbers={LEAD: 0.02}),
        trial("vpbsd", 1, 0, [0.6], numbers={LEAD: -0.05}),
        trial("light_unet", 0, 0, [0.6]),
    ]
    rows = teacher_table(analysed(trials).records).rows
    assert [[item.text for item in row] for row in rows] == [
        ["0", "+0.020", "on"],
        ["1", "-0.050", "off"],
    ]
    assert [link.label for link in rows[0][1].links] == [
        "vpbsd-fold0-seed0",
        "vpbsd_wo_dis-fold0-seed0",
    ]
    assert "## Teacher against student" in document(analysed(trials))
    assert "## Teacher against student" not in document(analysed(trials[-1:]))


def test_a_status_of_before_knows_no_examinations(volumes, tiny, cheap, store):
    old = outline(make_plan(Study("s", tiny, volumes, ("vpbsd",)), store))
    for told in old["trials"]:
        del told["unproven_by"]
    assert Tally(old, store).unproven() == []


def test_an_unproven_arm_keeps_its_numbers_and_is_neither_bold_nor_the_best():
    """VpbSD leads by .2 over fourteen groups; of the others KD is the best, by .1."""
    arms = {"light_unet": 0.5, "kd": 0.6, "vpbsd": 0.7}
    trials = [t for arm, dsc in arms.items() for t in many_groups(arm, dsc)]
    assert analysed(trials).winner == "vpbsd"
    assert row_of("VpbSD", analysed(trials))[0]["dsc"].bold
    unproven = [t for arm, dsc in list(arms.items())[:2] for t in many_groups(arm, dsc)]
    unproven += many_groups("vpbsd", 0.7, unproven=WHY)
    analysis = analysed(unproven)
    assert analysis.winner == "kd"
    items, mark = row_of("VpbSD", analysis)
    assert (items["dsc"].text, items["dsc"].bold, mark) == ("0.730 ± 0.000", False, "‖")
    assert row_of("KD", analysis)[0]["dsc"].bold
    notes = main_table(analysis).notes
    assert (
        f"‖ VpbSD: unproven, so never bold nor the best: {WHY} (fold 0 seed 0, fold 1 seed 0); "
        "L_dis claims nothing."
    ) in notes


def test_codes_are_counted_beside_what_would_make_them_void():
    """9 of 16 codes in effect; a gap of .1 of an error of .4 with shuffled codes."""
    numbers = {"perplexity": 9.0, "code_usage": 0.75, "bypass_gap": 0.1}
    params = {"method.network.codebook.size": "16"}
    stage = StageRun("r", {}, params, numbers | {"mse_shuffled_codes": 0.4})
    assert list(code_numbers(stage)) == [
        "argmin perplexity 9 (void below 2)",
        "codes in use 12 of 16",
        "bypass gap 0.1, 25 % of the error with shuffled codes (void below 10 %)",
    ]
