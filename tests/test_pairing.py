"""Arms of a study differ in what they are about and in nothing else; keys say which is which."""

from dataclasses import replace

import pytest
import torch

from tests import small
from vpbsd import config
from vpbsd.config import LightNet
from vpbsd.data.folds import Fold, Part, make_folds, whole_volume
from vpbsd.data.patches import draw_labelled
from vpbsd.methods.configs import (
    EntropyConfig,
    MeanTeacherConfig,
    SupervisedConfig,
    UncertainTeacherConfig,
)
from vpbsd.methods.distilling_configs import (
    AbConfig,
    FitNetsConfig,
    HintsConfig,
    Kd,
    KdConfig,
    Vid,
    VidConfig,
    VpbSDConfig,
)
from vpbsd.methods.rival_configs import (
    Cps,
    CpsConfig,
    Dico,
    DicoConfig,
    Mcsc,
    McscConfig,
    SimCVD,
    SimCVDConfig,
)
from vpbsd.methods.roster import build_method
from vpbsd.optim import Optim
from vpbsd.pipeline import recipes, stages
from vpbsd.pipeline.arms import ARMS, FIRST_PHASES, FIXED, GROUPS, HEADINGS, THRESHOLDS, TITLES
from vpbsd.pipeline.recipes import REFERENCES, TRAINED_REFERENCES, deliverable, trial
from vpbsd.pipeline.run_train import make_pool
from vpbsd.pipeline.stage_config import Evaluate, Targets, Threshold
from vpbsd.training.loop import Training, fit

CPU = torch.device("cpu")
SWIN = small.NETWORK.model_copy(update={"codebook": None})
STUDENTS = [arm for arm in ARMS if arm not in REFERENCES]
ALIGNMENTS = ("da_linear", "da_chsel", "da_linear_flat")
PHASES = {f"{arm}, first phase" for arm in FIRST_PHASES}
PRE, FINE, EVALUATE = "pre-training", "fine-tuning", "evaluate vpbsd"
SAID = {
    f"{what} patches"
    for what in ("pseudo of unlabelled", "codes of labelled", "codes of unlabelled")
}
LAST = {"vpbsd", EVALUATE}
ALL = {PRE, FINE} | SAID | LAST


@pytest.fixture(autouse=True)
def _cheap(cheap):
    """Every test here plans stages of tiny budgets."""


def weights_after(config, pool, steps=5):
    training = Training(build_method(config, 0), Optim(lr=1e-2, epochs=steps), steps_per_epoch=1)
    assert sum(1 for _ in fit(training, pool, CPU)) == steps
    return training.method.deliverable.state_dict()


@pytest.fixture(scope="module")
def kept(volumes):
    return small.Kept(
        (whole_volume(volumes[0]), whole_volume(volumes[1])), (whole_volume(volumes[4]),)
    )


@pytest.fixture(scope="module")
def baseline(kept):
    return weights_after(SupervisedConfig(network=LightNet()), kept.pool(unlabelled=False))


@pytest.mark.parametrize("unlabelled", [True, False])
@pytest.mark.parametrize(
    "config",
    [
        VpbSDConfig(beta=0, gamma=0),
        KdConfig(kd=Kd(weight=0), distil_on="both"),
        VidConfig(vid=Vid(weight=0), distil_on="both"),
    ],
)
def test_without_its_terms_a_method_is_the_baseline_bit_for_bit(
    config, unlabelled, kept, baseline
):
    assert config.needs_targets == ()
    weights = weights_after(config, kept.pool(unlabelled=unlabelled))
    assert weights.keys() == baseline.keys()
    assert all(torch.equal(weights[name], baseline[name]) for name in baseline)


@pytest.mark.parametrize(
    "plain",
    [
        MeanTeacherConfig(weight=0, sup="dice"),
        UncertainTeacherConfig(weight=0, sup="dice"),
        EntropyConfig(weight=0, sup="dice"),
        CpsConfig(cps=Cps(weight=0), sup="dice"),
        pytest.param(
            McscConfig(sup="dice", transformer=SWIN, mcsc=Mcsc(cps=0, contrast=0)),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            DicoConfig(sup="dice", transformer=SWIN, dico=Dico(weight=0, adversarial=0)),
            marks=pytest.mark.slow,
        ),
        SimCVDConfig(
            sup="dice", simcvd=SimCVD(alpha=0, contrast=0, pairwise=0, consistency=0, pool=8)
        ),
    ],
)
def test_without_its_term_a_semi_supervised_arm_is_the_baseline(plain, kept, baseline):
    assert not plain.draws_unlabelled
    weights = weights_after(plain, kept.pool())
    assert all(torch.equal(weights[name], baseline[name]) for name in baseline)


@pytest.mark.parametrize(
    "config",
    [
        VpbSDConfig(beta=0),
        VpbSDConfig(gamma=0, ramp_epochs=0),
        VpbSDConfig(gamma=0, ramp_epochs=0, pseudo="soft"),
        VpbSDConfig(beta=0, gamma=0, cldice=0.5, cldice_iterations=1),
        FitNetsConfig(teacher_width=192),
        MeanTeacherConfig(sup="dice"),
        MeanTeacherConfig(weight=0),
        UncertainTeacherConfig(sup="dice", certain=1, passes=1),
        EntropyConfig(sup="dice"),
        CpsConfig(sup="dice"),
        SimCVDConfig(sup="dice", simcvd=SimCVD(contrast=0, pairwise=0, consistency=0)),
        pytest.param(
            SimCVDConfig(sup="dice", simcvd=SimCVD(alpha=0, pool=8)), marks=pytest.mark.slow
        ),
        KdConfig(),
        VidConfig(teacher_width=192, vid=Vid(hidden=8)),
    ],
)
def test_each_term_alone_leads_away_from_the_baseline(config, kept, baseline):
    weights = weights_after(config, kept.pool(config.needs_targets), steps=5)
    assert any(not torch.equal(weights[name], baseline[name]) for name in baseline)


@pytest.mark.parametrize(
    "config",
    [
        VpbSDConfig(),
        FitNetsConfig(),
        SupervisedConfig(network=LightNet()),
        KdConfig(),
        VidConfig(),
        HintsConfig(),
        AbConfig(),
        CpsConfig(),
        SimCVDConfig(),
        McscConfig(transformer=SWIN),
        DicoConfig(transformer=SWIN),
    ],
)
def test_all_arms_start_from_one_student(config):
    start = build_method(VpbSDConfig(), 0).deliverable.state_dict()
    same, other = (build_method(config, seed).deliverable.state_dict() for seed in (0, 1))
    assert all(torch.equal(same[name], start[name]) for name in start)
    assert any(not torch.equal(other[name], start[name]) for name in start)


def test_all_arms_see_the_same_labelled_patches_in_the_same_order(tiny, folds):
    pools = {}
    for arm in [arm for arm in STUDENTS if arm not in FIXED]:
        stage = deliverable(tiny, arm, folds[0], seed=3)
        pools[arm] = make_pool(stage, stage.config, {}), build_method(stage.config.method, 3)
    for arm in FIRST_PHASES:  # both phases draw by the steps of one schedule
        stage = deliverable(tiny, arm, folds[0], seed=3).upstream["start"]
        pools[stage.label] = (
            make_pool(stage, stage.config, {}),
            build_method(stage.config.method, 3),
        )
    for step in range(6):
        wanted = draw_labelled(pools["light_unet"][0], step)
        for arm, (pool, method) in pools.items():
            batch = type(method).draws(pool, step)
            batch = getattr(batch, "labelled", batch)
            assert torch.equal(batch.image, wanted.image), arm
            assert torch.equal(batch.label, wanted.label), arm


def keys(s, arm, fold, **seeds):
    """Label -> key of all stages of a trial."""
    return {
        stage.label: stage.key for stage in trial(s, arm, fold, **{"seed": 0} | seeds).lineage()
    }


def changed(one, other):
    assert one.keys() == other.keys()
    return {label for label in one if one[label] != other[label]}


def test_an_arm_is_another_one_with_a_weight_of_0(tiny, folds):
    without = recipes.override(tiny, {"student.gamma": 0})
    assert (
        deliverable(tiny, "vpbsd_wo_dis", folds[0], 0).key
        == deliverable(without, "vpbsd", folds[0], 0).key
    )
    without = recipes.override(tiny, {"student.beta": 0, "student.distil_on": "labelled"})
    assert (
        deliverable(tiny, "vpbsd_wo_semi", folds[0], 0).key
        == deliverable(without, "vpbsd", folds[0], 0).key
    )


@pytest.mark.parametrize(
    ("arm", "upstream"),
    [
        ("light_unet", set()),
        ("vpbsd_wo_dis", {"pseudo_unlabelled"}),
        ("vpbsd_wo_semi", {"codes_labelled"}),
        ("baseline_mid", {"features_labelled"}),
        ("baseline_mid_semi", {"features_labelled", "features_unlabelled", "pseudo_unlabelled"}),
        ("vpbsd", {"codes_labelled", "codes_unlabelled", "pseudo_unlabelled"}),
        ("kd", {"margin_labelled"}),
        ("vid", {"features_labelled"}),
    ],
)
def test_only_what_a_weight_makes_use_of_is_an_upstream_stage(arm, upstream, tiny, folds):
    stage = deliverable(tiny, arm, folds[0], 0)
    assert set(stage.upstream) == upstream
    assert all(isinstance(one.config, Targets) for one in stage.upstream.values())
    assert ("unlabelled" in stage.parts) == any("unlabelled" in name for name in upstream)


@pytest.mark.parametrize("arm", ["mt", "uamt", "me", "cps"])
@pytest.mark.parametrize("weight", [0.1, 0])
def test_semi_supervised_arms_ask_nothing(arm, weight, tiny, folds):
    s = recipes.override(tiny, {"consistency.weight": weight, "rivals.cps.weight": weight})
    stage = deliverable(s, arm, folds[0], 0)
    assert not stage.upstream
    assert ("unlabelled" in stage.parts) == (weight > 0) == (stage.config.sampling is not None)


@pytest.mark.parametrize(
    ("arm", "rates"),
    [
        ("cps", {}),
        ("mcsc", {"transformer": 0.5}),
        ("dico", {"transformer": 0.5, "discriminator": 1e-4}),
    ],
)
def test_what_is_trained_beside_a_student_has_rates_and_a_network_of_its_own(
    arm, rates, tiny, folds
):
    s = recipes.override(tiny, {"rivals.transformer_lr": 0.5, "rivals.transformer_size": 24})
    config = deliverable(s, arm, folds[0], 0).config
    assert config.optim == s.student.optim.model_copy(update={"lr_of": rates})
    if rates:
        depths = config.method.transformer.depths
        assert (depths, config.method.transformer.feature_size) == ((1, 1, 1, 1), 24)
        assert config.method.transformer.codebook is None


def test_the_table_of_the_paper_and_the_other_arms_have_titles():
    assert TITLES.keys() == ARMS.keys()
    assert set(ARMS) >= FIXED.keys() | REFERENCES
    assert set(ARMS) == {arm for group in GROUPS.values() for arm in group}
    assert GROUPS.keys() == HEADINGS.keys()
    assert len(set(TITLES.values())) == len(TITLES)


def test_all_arms_share_one_teacher_and_one_word_of_it(tiny, folds):
    seen = {}
    for arm in ARMS.keys() - FIXED.keys():
        for label, key in keys(tiny, arm, folds[0]).items():
            assert seen.setdefault(label, key) == key
    of = {"features of labelled", "features of unlabelled", "features16 of labelled"}
    stages = {PRE, FINE} | {f"{what} patches" for what in of | {"margin of labelled"}} | PHASES
    arms = set(ARMS) - FIXED.keys()
    students, references = arms - REFERENCES, {"unetr", "simcvd_vnet"}
    assert set(seen) == SAID | stages | students | references | {f"evaluate {arm}" for arm in arms}
    assert seen.pop("fitnets") == seen["baseline_mid"]  # one run under two names
    assert seen.pop("evaluate fitnets") == seen["evaluate baseline_mid"]
    assert len(set(seen.values())) == len(seen)


@pytest.mark.parametrize(
    ("arm", "first", "last"),
    [
        ("fitnets_two_stage", {"features_labelled"}, {"margin_labelled", "start"}),
        ("ab", {"features_labelled", "features16_labelled"}, {"start"}),
    ],
)
def test_two_phases_share_one_budget(arm, first, last, tiny, folds):
    """3 of 15 epochs and the other 12, of the schedule that every arm has."""
    s = recipes.override(tiny, {"student.optim.epochs": 15})
    end, whole_run = (deliverable(s, name, folds[0], 0) for name in (arm, "light_unet"))
    begin, optim = end.upstream["start"], whole_run.config.optim
    assert (set(begin.upstream), set(end.upstream)) == (first, last)
    assert [*begin.config.optim.span, *end.config.optim.span] == [*optim.span]
    assert len(begin.config.optim.span) == 3
    for stage in (begin, end):
        changes = {"from_epoch": 0, "until_epoch": None}
        assert stage.config.optim.model_copy(update=changes) == optim
        assert (stage.parts, stage.seed) == (whole_run.parts, whole_run.seed)
    assert begin.key != end.key
    assert [p.family for p in (begin, end)] == ["student", "student"]


def test_the_last_phase_of_an_arm_is_the_plain_method_from_another_start(tiny, folds):
    for arm, plain in (("fitnets_two_stage", "kd"), ("ab", "light_unet")):
        two, one = (deliverable(tiny, name, folds[0], 0) for name in (arm, plain))
        assert two.config.method == one.config.method


@pytest.mark.parametrize(("share", "first"), [(0.01, 1), (0.5, 1), (0.99, 1)])
def test_each_phase_has_an_epoch(share, first, tiny, folds):
    s = recipes.override(tiny, {"student.first_phase": share})
    end = deliverable(s, "ab", folds[0], 0)
    spans = [stage.config.optim.span for stage in (end.upstream["start"], end)]
    assert [len(span) for span in spans] == [first, 2 - first]


def test_two_phases_in_one_epoch_are_refused(tiny, folds):
    s = recipes.override(tiny, {"student.optim.epochs": 1})
    with pytest.raises(recipes.BadInput, match="an arm of two phases needs 2 or more"):
        deliverable(s, "ab", folds[0], 0)


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


def test_older_methods_can_learn_from_both_kinds_of_patches(tiny, folds):
    s = recipes.override(tiny, {"student.others_on": "both"})
    assert set(deliverable(s, "kd", folds[0], 0).upstream) == {
        "margin_labelled",
        "margin_unlabelled",
    }
    mid = (deliverable(settings, "fitnets", folds[0], 0).key for settings in (s, tiny))
    assert len(set(mid)) == 1


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


@pytest.mark.parametrize("on", ["auto", "all"])
@pytest.mark.parametrize("arm", ARMS)
def test_no_tested_group_reaches_any_stage(arm, on, tiny, volumes):
    """Not even by an unlabelled volume of a tested animal, nor as a patch to draw from."""
    hidden = next(v for v in volumes if not v.labelled)
    volumes = (*volumes, replace(hidden, name="other", group="animal0", fingerprint="other"))
    s = recipes.override(tiny, {"protocol.pretrain_on": on})
    for fold in make_folds(volumes, s.protocol):
        tested = {part.volume.group for part in fold.test}
        for stage in trial(s, arm, fold, 0).lineage():
            for role, parts in stage.parts.items():
                read = {part.volume.group for part in parts}
                if role == "test":
                    assert isinstance(stage.config, Evaluate | Threshold)
                    assert read == tested
                else:
                    assert read, (stage.label, role)
                    assert read.isdisjoint(tested), (stage.label, role)


def test_a_codebook_with_too_few_tokens_to_start_from_is_refused(tiny, folds):
    s = recipes.override(tiny, {"pretrain.network.codebook.size": 4000})
    with pytest.raises(recipes.BadInput, match="too few to start 4000 codes"):
        trial(s, "teacher_no_pretrain", folds[0], seed=0)


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
        (Targets, "numerics", SAID | LAST),
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


def test_a_warm_up_too_short_for_its_codebook_is_refused(tiny, folds, monkeypatch):
    """2 warm steps of a patch with 2 tokens are 4, and 4 codes ask for 20 each."""
    monkeypatch.setattr(config, "TOKENS_PER_CODE", 20)
    with pytest.raises(recipes.BadInput, match="sees 4 tokens, but 4 codes start from 80"):
        trial(tiny, "vpbsd", folds[0], seed=0)
