"""Settings change the stages that they touch, and all others are shared."""

from dataclasses import replace

import pytest

from tests.shared_keys import EVALUATE, FINE, PRE, SAID, changed, keys
from vpbsd.data.folds import Fold, Part, make_folds, whole_volume
from vpbsd.methods.configs import (
    SupervisedConfig,
)
from vpbsd.methods.distilling_configs import (
    VpbSDConfig,
)
from vpbsd.pipeline import recipes, stages
from vpbsd.pipeline.arms import FIXED, THRESHOLDS
from vpbsd.pipeline.recipes import TRAINED_REFERENCES, deliverable, trial
from vpbsd.pipeline.stage_config import Targets

ALIGNMENTS = ("da_linear", "da_chsel", "da_linear_flat")


pytestmark = pytest.mark.usefixtures("cheap")  # stages of tiny budgets

LAST = {"vpbsd", EVALUATE}
ALL = {PRE, FINE, *SAID} | LAST


@pytest.mark.parametrize(
    ("arm", "path", "value", "wanted"),
    [
        ("kd", "student.kd.temperature", 2.0, {"kd"}),
        ("kd", "student.kd.weight", 2.0, {"kd"}),
        ("vid", "student.vid.hidden", 7, {"vid"}),
        ("ab", "student.ab.margin", 2.0, {"ab", "ab, first phase"}),
        ("ab", "student.kd.weight", 2.0, set()),
        ("fitnets_two_stage", "student.kd.weight", 2.0, {"fitnets_two_stage"}),
        ("fitnets_two_stage", "student.mid", 2.0, set()),
    ],
)
def test_a_parameter_of_a_distilling_arm_changes_it_alone(arm, path, value, wanted, tiny, folds):
    other = recipes.override(tiny, {path: value})
    found = changed(keys(tiny, arm, folds[0]), keys(other, arm, folds[0]))
    assert found == (wanted | {f"evaluate {arm}"} if wanted else set())


@pytest.mark.parametrize(
    ("path", "value", "wanted"),
    [
        ("student.gamma", 0.5, LAST),
        ("student.beta", 0.5, LAST),
        ("student.ramp_epochs", 7, LAST),
        ("student.optim.lr", 0.5, LAST),
        ("student.optim.weight_decay", 0.5, LAST),
        ("student.network.widths", [8, 16, 20, 32], LAST),
        ("student.network.widths", [4, 16, 20, 16], ALL),  # the codes are as wide as the last
        ("student.mid", 0.5, set()),
        ("student.cldice", 0.5, LAST),
        ("consistency.weight", 0.5, set()),
        ("unetr.feature_size", 4, set()),
        ("finetune.lr", 0.5, ALL - {PRE}),
        ("finetune.epochs", 7, ALL - {PRE}),
        ("pretrain.optim.lr", 0.5, ALL),
        ("pretrain.alpha", 0.5, ALL),
        ("pretrain.skip_drop", 0.1, ALL),
        ("pretrain.network.codebook.size", 3, ALL),
        ("sampling.patches", 5, ALL),
        ("data.patch", [32, 64, 64], ALL),
        ("data.clip_percentile", 99.0, ALL),
        ("augment", False, ALL),
        ("precision", "bf16", ALL),
        ("protocol.margin", 3, set()),
    ],
)
def test_a_parameter_changes_the_stages_it_touches(path, value, wanted, tiny, folds):
    other = recipes.override(tiny, {path: value})
    assert other != tiny
    found = changed(keys(tiny, "vpbsd", folds[0]), keys(other, "vpbsd", folds[0]))
    assert found == wanted


@pytest.mark.parametrize(
    ("path", "value", "touched"),
    [
        ("pretrain.optim.lr", 0.5, False),
        ("pretrain.network.feature_size", 24, False),
        ("finetune.lr", 0.5, False),
        ("sampling.patches", 5, False),
        ("student.gamma", 0.5, False),
        ("student.optim.lr", 0.5, True),
        ("augment", False, True),
        ("data.clip_percentile", 99.0, True),
    ],
)
def test_the_baseline_knows_nothing_of_the_teacher(path, value, touched, tiny, folds):
    other = recipes.override(tiny, {path: value})
    stages = keys(tiny, "light_unet", folds[0])
    assert set(stages) == {"light_unet", "evaluate light_unet"}
    assert (changed(stages, keys(other, "light_unet", folds[0])) != set()) == touched


def renamed(arm, s, fold):
    """Label -> key of an arm's stages, its own labels as those of `vpbsd`."""
    return {
        label.replace(arm, "vpbsd").replace("random codes", "codes"): key
        for label, key in keys(s, arm, fold).items()
    }


@pytest.mark.parametrize(
    ("arm", "wanted"),
    [
        ("da_conv1", set()),
        *((arm, ALL) for arm in ALIGNMENTS),
        ("vpbsd_no_gumbel", ALL),
        ("vpbsd_cldice", LAST),
        (
            "vpbsd_random_codes",
            {"codes of labelled patches", "codes of unlabelled patches"} | LAST,
        ),
    ],
)
def test_an_arm_shares_all_stages_that_what_it_fixes_does_not_touch(arm, wanted, tiny, folds):
    assert changed(keys(tiny, "vpbsd", folds[0]), renamed(arm, tiny, folds[0])) == wanted


def test_soft_pseudo_labels_change_nothing_but_what_is_asked(tiny, folds):
    hard, soft = (keys(tiny, arm, folds[0]) for arm in ("vpbsd", "vpbsd_soft_pseudo"))
    assert hard.keys() - soft.keys() == {"pseudo of unlabelled patches"} | LAST
    assert soft.keys() - hard.keys() == {
        "margin of unlabelled patches",
        "vpbsd_soft_pseudo",
        "evaluate vpbsd_soft_pseudo",
    }
    assert all(hard[label] == soft[label] for label in hard.keys() & soft.keys())


def test_alignments_leave_alone_what_has_no_alignment(tiny, folds):
    for arm in ALIGNMENTS:
        s = recipes.override(tiny, FIXED[arm])
        for other in ("light_unet", "mt", "unetr", "teacher_no_pretrain"):
            same = keys(s, other, folds[0]) == keys(tiny, other, folds[0])
            assert same == (other != "teacher_no_pretrain"), (arm, other)


def test_without_pretraining_student_and_reference_share_one_teacher(tiny, folds):
    teacher = deliverable(tiny, "teacher_no_pretrain", folds[0], 0)
    assert not teacher.upstream
    assert teacher.config.optim.epochs == 3  # 2 of pre-training and 1 of fine-tuning
    assert teacher.config.optim.lr == tiny.pretrain.optim.lr
    labels = keys(tiny, "vpbsd_no_pretrain", folds[0])
    assert PRE not in labels
    assert labels["fine-tuning without pre-training"] == teacher.key
    unetr = deliverable(tiny, "unetr", folds[0], 0)
    assert unetr.config.optim == teacher.config.optim
    assert {stage.family for stage in (unetr, teacher)} == {"fine-tuning"}
    assert unetr.config.method.network.patch == tiny.data.patch


@pytest.mark.parametrize("arm", sorted(THRESHOLDS))
def test_thresholds_know_no_seed_and_deliver_nothing(arm, tiny, folds):
    plain = keys(tiny, arm, folds[0])
    assert plain.keys() == {f"evaluate {arm}"}
    assert keys(tiny, arm, folds[0], seed=1, teacher_seed=1) == plain
    with pytest.raises(recipes.BadInput, match=f"'{arm}' is a threshold: it trains no network"):
        deliverable(tiny, arm, folds[0], 0)


def test_otsu_reads_no_label_of_training(tiny, folds):
    assert trial(tiny, "otsu", folds[0], 0).parts.keys() == {"test"}


@pytest.mark.parametrize("arm", TRAINED_REFERENCES)
def test_references_know_no_student_seed(arm, tiny, folds):
    plain = keys(tiny, arm, folds[0])
    assert keys(tiny, arm, folds[0], seed=1) == plain
    assert changed(plain, keys(tiny, arm, folds[0], teacher_seed=1)) == plain.keys()


def test_random_codes_are_drawn_from_the_teachers_seed(tiny, folds):
    seeds = {
        stage.seed
        for stage in trial(tiny, "vpbsd_random_codes", folds[0], 0, teacher_seed=5).lineage()
        if isinstance(stage.config, Targets) and stage.config.random_codes
    }
    assert seeds == {5}


def test_seeds_vary_what_they_name(tiny, folds):
    plain = keys(tiny, "vpbsd", folds[0])
    assert changed(plain, keys(tiny, "vpbsd", folds[0], seed=1)) == LAST
    assert changed(plain, keys(tiny, "vpbsd", folds[0], teacher_seed=1)) == ALL
    plain = keys(tiny, "light_unet", folds[0])
    assert not changed(plain, keys(tiny, "light_unet", folds[0], teacher_seed=1))


@pytest.mark.parametrize(
    ("part", "name", "wanted"),
    [
        (VpbSDConfig, "numerics", LAST),
        (SupervisedConfig, "numerics", ALL - {PRE}),
        (Targets, "numerics", {*SAID} | LAST),
        (stages, "METRICS", {EVALUATE}),
    ],
)
def test_a_part_whose_results_change_renames_its_stages(
    part, name, wanted, tiny, folds, monkeypatch
):
    plain = keys(tiny, "vpbsd", folds[0])
    monkeypatch.setattr(part, name, 1000)
    assert changed(plain, keys(tiny, "vpbsd", folds[0])) == wanted


def test_one_pretraining_serves_all_folds_and_any_number_of_them(tiny, volumes):
    """No unlabelled animal is ever tested."""
    found = {
        keys(tiny, "vpbsd", fold)[PRE]
        for count in (2, 3)
        for fold in make_folds(volumes, recipes.override(tiny, {"protocol.folds": count}).protocol)
    }
    assert len(found) == 1
    fine = {keys(tiny, "vpbsd", fold)[FINE] for fold in make_folds(volumes, tiny.protocol)}
    assert len(fine) == 3


def test_names_paths_and_fold_numbers_are_in_no_key(tiny, folds):
    def elsewhere(parts):
        return tuple(
            Part(replace(p.volume, name=f"x{p.volume.name}", path="/elsewhere"), p.box)
            for p in parts
        )

    fold = folds[0]
    moved = Fold(7, elsewhere(fold.train), elsewhere(fold.test), elsewhere(fold.unlabelled))
    assert keys(tiny, "vpbsd", moved) == keys(tiny, "vpbsd", fold)
    volume = fold.test[0].volume
    other = replace(fold, test=(whole_volume(replace(volume, fingerprint="another")),))
    assert changed(keys(tiny, "vpbsd", fold), keys(tiny, "vpbsd", other)) == {EVALUATE}
