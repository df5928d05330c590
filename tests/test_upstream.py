"""Which stages an arm has, what each asks of others, and what it may read."""

from dataclasses import replace

import pytest

from tests.shared_keys import FINE, PRE, SAID, keys
from vpbsd import config
from vpbsd.data.folds import make_folds
from vpbsd.pipeline import recipes
from vpbsd.pipeline.arms import ARMS, FIRST_PHASES, FIXED, GROUPS, HEADINGS, TITLES
from vpbsd.pipeline.recipes import REFERENCES, deliverable, trial
from vpbsd.pipeline.stage_config import Evaluate, Targets, Threshold

pytestmark = pytest.mark.usefixtures("cheap")  # stages of tiny budgets

PHASES = {f"{arm}, first phase" for arm in FIRST_PHASES}


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
    students, references = arms - REFERENCES, {"unetr", "vnet", "simcvd_vnet"}
    assert set(seen) == {*SAID} | stages | students | references | {
        f"evaluate {arm}" for arm in arms
    }
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


def test_older_methods_can_learn_from_both_kinds_of_patches(tiny, folds):
    s = recipes.override(tiny, {"student.others_on": "both"})
    assert set(deliverable(s, "kd", folds[0], 0).upstream) == {
        "margin_labelled",
        "margin_unlabelled",
    }
    mid = (deliverable(settings, "fitnets", folds[0], 0).key for settings in (s, tiny))
    assert len(set(mid)) == 1


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


def test_a_warm_up_too_short_for_its_codebook_is_refused(tiny, folds, monkeypatch):
    """2 warm steps of a patch with 2 tokens are 4, and 4 codes ask for 20 each."""
    monkeypatch.setattr(config, "TOKENS_PER_CODE", 20)
    with pytest.raises(recipes.BadInput, match="sees 4 tokens, but 4 codes start from 80"):
        trial(tiny, "vpbsd", folds[0], seed=0)
