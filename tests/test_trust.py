"""A teacher that is worse than its student, where neither had labels, is not listened to."""

import json
from dataclasses import replace

import pytest

from tests import small
from tests.test_run import FINE, PRE
from vpbsd.data.folds import make_folds
from vpbsd.errors import BadInput
from vpbsd.pipeline import recipes, run
from vpbsd.pipeline.arms import ARMS, THRESHOLDS
from vpbsd.pipeline.trust import STUDENT, TEACHER, teacher_lead, without_worse_teacher
from vpbsd_sweeps.tracking.sweep_runs import distrust

TRUST = {"student__trust": "measured"}


@pytest.fixture
def scored(tmp_path):
    """Writes evaluations of a teacher and of a student; returns them as inputs."""

    def write(teacher, student):
        inputs = {}
        for name, scores in ((TEACHER, teacher), (STUDENT, student)):
            inputs[name] = tmp_path / name
            inputs[name].mkdir(exist_ok=True)
            rows = [{"volume": str(i), "dsc": dsc} for i, dsc in enumerate(scores)]
            (inputs[name] / "rows.json").write_text(json.dumps(rows))
        return inputs

    return write


def test_the_lead_is_that_of_means_over_volumes(scored):
    assert teacher_lead(scored([0.5, 0.7], [0.4, 0.6])) == pytest.approx(0.1)
    assert teacher_lead(scored([0.5], [0.6])) == pytest.approx(-0.1)
    assert teacher_lead({}) is None


def test_only_a_worse_teacher_is_silenced(folds, tiny, cheap):
    config = recipes.deliverable(tiny, "vpbsd", folds[0], seed=0).config
    assert config.method.beta > 0
    assert without_worse_teacher(config, None) is config
    assert without_worse_teacher(config, 0.0) is config
    off = without_worse_teacher(config, -0.001)
    assert off.method.beta == 0
    assert off.method.model_copy(update={"beta": config.method.beta}) == config.method
    assert distrust(0.0) == ""
    assert distrust(-0.001)


def test_a_teacher_is_measured_where_masks_are_learned_on_training_groups_alone(volumes, cheap):
    s = small.settings(**TRUST)
    plain = small.settings()
    for fold in make_folds(volumes, s.protocol):
        measured = set()
        for arm in [arm for arm in ARMS if arm not in THRESHOLDS]:
            trained = recipes.deliverable(s, arm, fold, seed=3)
            if trained.key == recipes.deliverable(plain, arm, fold, seed=3).key:
                assert TEACHER not in trained.upstream
                continue
            measured.add(arm)
            teacher, student = (trained.upstream[name] for name in (TEACHER, STUDENT))
            assert teacher.parts == student.parts
            (out,) = {part.volume.group for part in teacher.parts["test"]}
            nets = [stage.upstream["network"] for stage in (teacher, student)]
            for net in nets:
                groups = {part.volume.group for part in net.parts["labelled"]}
                assert groups == {p.volume.group for p in fold.train} - {out}
            tested = {part.volume.group for part in fold.test}
            seen = {
                p.volume.group for m in teacher.lineage() for ps in m.parts.values() for p in ps
            }
            assert tested.isdisjoint(seen | {out})
            (spoken,) = {
                u.upstream["teacher"].key: u.upstream["teacher"]
                for u in trained.upstream.values()
                if "teacher" in u.upstream
            }.values()
            assert nets[0].upstream == spoken.upstream, "the pre-training is the fold's own"
        assert {"vpbsd", "vpbsd_wo_dis", "baseline_mid_semi", "vpbsd_soft_pseudo"} <= measured
        assert measured.isdisjoint({"vpbsd_wo_semi", "baseline_mid", "light_unet", "kd", "mt"})


def test_one_training_group_is_none_to_leave_out(volumes, cheap):
    labelled = [v for v in volumes if v.labelled][:2] + [v for v in volumes if not v.labelled]
    s = small.settings(protocol__folds=2, **TRUST)
    fold = make_folds(tuple(labelled), s.protocol)[0]
    with pytest.raises(BadInput, match="student.trust=measured: fold 0 trains on one group only"):
        recipes.trial(s, "vpbsd", fold, seed=0)
    recipes.trial(s, "vpbsd_wo_semi", fold, seed=0)


@pytest.mark.parametrize(("teacher", "semi"), [(0.7, True), (0.5, False)])
def test_a_student_hears_pseudo_labels_or_not(teacher, semi, trial, scored, tmp_path):
    """The same stage, with its other term; the number is there in either case."""
    done = trial["vpbsd"]
    out = tmp_path / "out"
    out.mkdir()
    for _ in run.run(done.stage, {**done.inputs, **scored([teacher], [0.6])}, out):
        pass
    row = json.loads((out / "rows.json").read_text())[-1]
    assert ("loss/semi" in row) == semi
    assert "loss/dis" in row
    numbers = json.loads((out / "summary.json").read_text())["numbers"]
    assert numbers["teacher_lead"] == pytest.approx(teacher - 0.6)
    if semi:
        assert row["loss/semi"] == done.rows[-1]["loss/semi"], "measuring changes nothing"


def test_stages_without_the_group_run_as_any_other(trial, folds, cheap, tmp_path):
    """A fine-tuning on fewer parts, from the same pre-training."""
    upstream = recipes.rivals(small.settings(**TRUST), trial[FINE].stage, folds[0])
    tuned = upstream[TEACHER].upstream["network"]
    assert tuned.config == trial[FINE].stage.config
    assert tuned.upstream["start"].key == trial[PRE].stage.key
    assert replace(tuned, parts=trial[FINE].stage.parts).key == trial[FINE].stage.key
    for _ in run.run(tuned.spec, {"start": trial[PRE].folder}, tmp_path):
        pass
    assert (tmp_path / "weights.safetensors").exists()
