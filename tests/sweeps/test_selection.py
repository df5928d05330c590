"""What final training chooses, on scores made up by hand."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from vpbsd.data.folds import final_split
from vpbsd.errors import BadInput
from vpbsd.overrides import override
from vpbsd.pipeline.recipes import deliverable, trial
from vpbsd.settings import laptop
from vpbsd_sweeps.commands.final import _last_stage
from vpbsd_sweeps.deployment import selection
from vpbsd_sweeps.deployment.selection import choose, choose_trial
from vpbsd_sweeps.drivers.final import _refuse_too_many, _spanning
from vpbsd_sweeps.execution.slices import ON_GPUS
from vpbsd_sweeps.reporting.records import TrialResult
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.inventory import look_up
from vpbsd_sweeps.tuning.journal import TrialOutcome

SETTINGS = override(laptop(), {"protocol.folds": 2})
IDENTITY = {
    "settings": SETTINGS.model_dump(mode="json"),
    "arms": ["teacher", "light_unet", "kd", "vpbsd"],
    "seeds": [0, 1],
    "teacher_seed": 5,
}
DSC = {"teacher": 0.9, "light_unet": 0.6, "kd": 0.7, "vpbsd": 0.8}


def trials(**changes):
    """Both folds and seeds of all arms, the teacher once per fold; changes: arm -> of one."""
    found = [
        TrialResult(f"{arm}{fold}{seed}", arm, fold, seed, "FINISHED", "", {"dsc": {"v": dsc}})
        for arm, dsc in DSC.items()
        for fold in (0, 1)
        for seed in ((0,) if arm == "teacher" else (0, 1))
    ]
    for run_id, change in changes.items():
        place = next(i for i, t in enumerate(found) if t.run_id == run_id)
        if change is None:
            del found[place]
        else:
            found[place] = TrialResult(**{**vars(found[place]), **change})
    return found


def test_the_best_student_is_chosen_never_the_teacher():
    choice = choose(trials(), IDENTITY)
    assert (choice.arm, choice.teacher_seed, choice.left_out) == ("vpbsd", 5, ())
    assert choice.runs == ["vpbsd00", "vpbsd01", "vpbsd10", "vpbsd11"]
    assert choice.scores["dsc"].mean == pytest.approx(0.8)
    assert "best of 3 arms" in choice.optimism


def test_the_metric_that_was_declared_decides():
    """The lower the distance the better: of the students the Light UNet has the least."""
    measured = [
        replace(t, values={**t.values, "hd95_vox": {"v": 10 * DSC[t.arm]}}) for t in trials()
    ]
    declared = {**IDENTITY, "primary": "hd95_vox"}
    choice = choose(measured, declared)
    assert choice.arm == "light_unet"
    assert choice.rule.startswith("lowest mean test HD95 [vox] over folds")
    with pytest.raises(BadInput, match=r"Light UNet.*\(HD95 \[vox\] was not measured\)"):
        choose(trials(), declared)


def test_what_most_folds_chose_is_trained_in_the_end():
    plain = choose(trials(), IDENTITY)
    chosen = {"0": {"data.clip_percentile": 99.0}}
    choice = choose(trials(), {**IDENTITY, "choices": chosen})
    assert choice.settings == override(plain.settings, {"data.clip_percentile": 99.0})
    assert choice.rule == (
        f"{plain.rule}; normalisation as in 1 of 2 folds: data.clip_percentile=99.0"
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"vpbsd11": {"void": "codes collapsed"}}, "VpbSD (void)"),
        ({"vpbsd11": {"status": "FAILED"}}, "VpbSD (not finished)"),
        ({"vpbsd11": {"status": "KILLED"}}, "VpbSD (not finished)"),
        ({"vpbsd11": None}, "VpbSD (not finished)"),
    ],
    ids=["void", "failed", "killed", "a seed is missing"],
)
def test_void_and_partial_arms_are_left_out(change, why):
    choice = choose(trials(**change), IDENTITY)
    assert choice.arm == "kd"
    assert choice.left_out == (why,)


def test_an_unproven_arm_is_chosen_by_its_name_alone():
    codes = {"unproven": "codes say nothing of vessels"}
    choice = choose(trials(vpbsd11=codes), IDENTITY)
    assert choice.arm == "kd"
    assert choice.left_out == ("VpbSD (unproven; --arm vpbsd takes it all the same)",)
    choice = choose(trials(vpbsd11=codes), IDENTITY, "vpbsd")
    assert choice.arm == "vpbsd"
    assert choice.scores["dsc"].mean == pytest.approx(0.8)
    assert "unproven: codes say nothing of vessels (fold 1 seed 1)" in choice.rule
    proven = choose(trials(), IDENTITY, "kd")
    assert (proven.arm, proven.rule) == ("kd", "asked for by name")


def test_an_arm_that_cannot_be_delivered_is_refused_by_its_name():
    for name in ("vpbds", "teacher"):
        with pytest.raises(BadInput, match=f"--arm {name}: the study has no such student arm"):
            choose(trials(), IDENTITY, name)
    with pytest.raises(BadInput, match=r"VpbSD \(void\)"):
        choose(trials(vpbsd11={"void": "codes collapsed"}), IDENTITY, "vpbsd")


def test_a_search_delivers_the_arm_that_it_searched_alone(monkeypatch):
    journal = SimpleNamespace(identity={"arm": "vpbsd", "data": "d"})
    monkeypatch.setattr(selection, "Journal", lambda store, study: journal)
    monkeypatch.setattr(selection, "choose_trial", lambda journal, tracker: "chosen")
    assert selection.load_choice(None, None, "s", "vpbsd") == ("chosen", "d")
    with pytest.raises(BadInput, match="--arm kd: 's' searched vpbsd alone"):
        selection.load_choice(None, None, "s", "kd")


def test_a_fold_that_no_arm_has_is_missed():
    with pytest.raises(BadInput, match=r"VpbSD \(not finished\)\): finish the sweep"):
        choose([t for t in trials() if t.fold == 0], IDENTITY)


def test_of_a_search_the_best_complete_trial_is_taken():
    outcomes = {
        0: TrialOutcome(0, "complete", (0.5, 0.7)),
        1: TrialOutcome(1, "complete", (0.6, 0.8)),
        2: TrialOutcome(2, "stopped", (0.9,)),
    }
    asked = {n: {"student.gamma": 0.1 * (n + 1)} for n in outcomes}
    facts = {**IDENTITY, "arm": "vpbsd"}
    journal = SimpleNamespace(name="s", identity=facts, outcomes=outcomes, asked=asked)
    runs = [SimpleNamespace(run_id="abc")]
    choice = choose_trial(journal, SimpleNamespace(runs=lambda condition: runs))
    assert choice.settings == override(SETTINGS, {"student.gamma": 0.2})
    assert (choice.arm, choice.runs) == ("vpbsd", ["abc"])
    assert choice.scores["dsc"].mean == pytest.approx(0.7)
    assert "never measured on a test fold" in choice.optimism
    journal.outcomes = {2: outcomes[2]}
    with pytest.raises(BadInput, match="no trial of search 's' is complete"):
        choose_trial(journal, None)


def test_more_gpus_than_there_can_be_are_refused():
    _refuse_too_many(2, 2.0)
    with pytest.raises(BadInput, match="--gpus 3: the cluster can have 2"):
        _refuse_too_many(3, 2.0)


def test_a_pre_training_that_is_to_be_run_takes_all_gpus_asked_for(volumes, tmp_path):
    settings = SETTINGS
    student = deliverable(settings, "vpbsd", final_split(volumes, settings.protocol, set()), 0, 0)
    stock = look_up("final", student.lineage(), Store(str(tmp_path / "store")))
    run_on_ranks = _spanning(ON_GPUS, stock, 2)
    assert {f: piece.ranks for f, piece in run_on_ranks.items()} == {
        **dict.fromkeys(ON_GPUS, 1),
        "pre-training": 2,
    }
    done = replace(stock, stages=tuple(s for s in stock.stages if s.family != "pre-training"))
    assert _spanning(ON_GPUS, done, 2) == ON_GPUS


def test_what_was_held_out_is_measured_as_in_a_trial(volumes):
    settings = override(SETTINGS, {"protocol.stride": (8, 16, 16)})
    fold = final_split(volumes, settings.protocol, {next(v.name for v in volumes if v.labelled)})
    last = _last_stage(settings, fold, deliverable(settings, "light_unet", fold, 0))
    assert last.config == trial(settings, "light_unet", fold, 0).config
