"""What a plan and its trials add up to, by hand."""

from types import SimpleNamespace

import pytest

from vpbsd.errors import BadInput
from vpbsd.pipeline.arms import ARMS
from vpbsd_sweeps.study.costs import guess_bytes
from vpbsd_sweeps.study.inventory import Inventory
from vpbsd_sweeps.study.plan import GPU_IN_CORES, Plan, sharing
from vpbsd_sweeps.study.study import Study
from vpbsd_sweeps.study.void import voided_by
from vpbsd_sweeps.units import volume


def stage(key, family, *upstream):
    return SimpleNamespace(key=key, family=family, upstream={s.key: s for s in upstream})


PRE = stage("pre", "pre-training")
TEACHERS = [stage(f"ft{i}", "fine-tuning", PRE) for i in (0, 1)]
STUDENTS = [stage(f"s{i}", "student", TEACHERS[i]) for i in (0, 1)]
COSTS = {"pre": 3600.0, "ft0": 1800.0, "ft1": 900.0, "s0": 360.0, "s1": 7200.0}


def plan(monkeypatch, *stored, on_gpu=False):
    every = (PRE, *TEACHERS, *STUDENTS)
    states = {s.key: "stored" if s.key in stored else "absent" for s in every}
    monkeypatch.setattr(Inventory, "costs", lambda self: COSTS)
    inventory = Inventory("name", every, states, {}, on_gpu)
    return Plan(SimpleNamespace(name="name"), inventory)


def test_the_longest_path_is_that_of_what_is_left(monkeypatch):
    assert plan(monkeypatch).longest_path(COSTS) == 3600 + 900 + 7200
    assert plan(monkeypatch, "pre", "s1").longest_path(COSTS) == 1800 + 360
    assert plan(monkeypatch, *COSTS).longest_path(COSTS) == 0


def test_gpu_hours_are_shares_of_slices(monkeypatch):
    """Whole GPUs: 1 + .5 + .25 hours; a quarter of one: .1 and 2 hours."""
    hours = 1 + 0.5 + 0.25 + (0.1 + 2) / 4
    assert plan(monkeypatch, on_gpu=True).gpu_hours() == pytest.approx(hours)
    assert plan(monkeypatch).gpu_hours() == pytest.approx(hours / GPU_IN_CORES)
    left = plan(monkeypatch, "pre", on_gpu=True)
    assert left.gpu_hours() == pytest.approx(hours - 1)
    left.check_budget(None)
    left.check_budget(hours)
    with pytest.raises(BadInput, match="--max-gpu-hours allows 1:"):
        left.check_budget(1)


def test_a_codebook_voids_those_that_learn_its_words(volumes, tiny, cheap):
    study = Study("s", tiny, volumes, tuple(ARMS))
    first = [t for t in study.trials if t.fold == 0]
    voided = {t.arm for t in first if any(s.family == "pre-training" for s in voided_by(t.stage))}
    assert voided == {
        "vpbsd",
        "vpbsd_wo_semi",
        "da_conv1",
        "da_linear",
        "da_chsel",
        "da_linear_flat",
        "vpbsd_random_codes",
        "vpbsd_fine_codes",
        "vpbsd_turned_codes",
        "vpbsd_no_gumbel",
        "vpbsd_soft_pseudo",
        "vpbsd_cldice",
    }
    for t in first:
        assert t.stage in voided_by(t.stage), "a void network voids its own arm"


def test_space_is_that_of_weights_and_of_what_a_teacher_says(volumes, tiny, cheap):
    """Two patches of 32x32x64 voxels of each role; a teacher of width 12 has 62.2/16 M weights."""
    study = Study("s", tiny, volumes, ("vpbsd", "baseline_mid", "kd", "ab"))
    stages = [s for t in study.trials if t.fold == 0 for s in t.stage.lineage()]
    guessed = {stage.label: guess_bytes(stage) for stage in stages}
    assert guessed["pre-training"] == guessed["fine-tuning"] == 4 * 62.2e6 / 16
    assert guessed["vpbsd"] == 4 * 0.12e6
    labelled = guessed["codes of labelled patches"] / 2  # two code words per patch
    assert guessed["features of labelled patches"] == labelled * 2 * 192 * 4
    assert guessed["features16 of labelled patches"] == labelled * 16 * 96 * 4
    assert guessed["margin of labelled patches"] == labelled * 32 * 32 * 64 * 2
    assert guessed["pseudo of unlabelled patches"] == 2 * 32 * 32 * 64 / 8


def test_space_is_scaled_by_what_a_family_took(monkeypatch):
    monkeypatch.setattr("vpbsd_sweeps.study.inventory.guess_bytes", lambda stage: 100.0)
    every = (PRE, *TEACHERS, *STUDENTS)
    inventory = Inventory("name", every, {}, {}, sizes={"ft0": 300.0})
    assert inventory.bytes() == {"pre": 100, "ft0": 300, "ft1": 300, "s0": 100, "s1": 100}
    assert (volume(12.4e6), volume(3.14e9)) == ("12 MB", "3.1 GB")


def test_trials_are_listed_by_the_teachers_they_share(volumes, tiny, cheap):
    """Three folds of: VpbSD with three answers of the teacher, L_mid with one; two alone."""
    study = Study("s", tiny, volumes, ("vpbsd", "baseline_mid", "light_unet", "mt"))
    states = {s.key: "stored" if s.label == "pre-training" else "absent" for s in study.stages()}
    assert list(sharing(study.trials, states)) == [
        "pre-training 1 (1 stored) > fine-tuning 3 > targets 12 > student 6 > evaluation 6: "
        "vpbsd, baseline_mid",
        "student 6 > evaluation 6: light_unet, mt",
    ]
    many = Study("s", tiny, volumes, ("vpbsd", "kd", "vid", "fitnets", "baseline_mid"))
    (line,) = sharing(many.trials, dict.fromkeys((s.key for s in many.stages()), "absent"))
    assert line.endswith("student 12 > evaluation 12: 5 arms"), "the last two share theirs"
