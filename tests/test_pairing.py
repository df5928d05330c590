"""Arms of a study differ in what they are about and in nothing else; keys say which is which."""

from dataclasses import replace

import pytest
import torch

from tests import small
from vpbsd import metrics, recipes
from vpbsd.config import LightNet, Optim
from vpbsd.data.folds import Fold, Part, make_folds, whole
from vpbsd.data.patches import draw_labelled
from vpbsd.methods.fitnets import FitNetsConfig
from vpbsd.methods.supervised import SupervisedConfig
from vpbsd.methods.vpbsd import VpbSDConfig
from vpbsd.recipes import ARMS, deliverable, trial
from vpbsd.run import make_pool
from vpbsd.stages import Targets
from vpbsd.train import Training, fit

CPU = torch.device("cpu")
STUDENTS = [arm for arm in ARMS if arm != "teacher"]
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
    training = Training(config.build(0), Optim(lr=1e-2, epochs=steps), steps_per_epoch=1)
    assert sum(1 for _ in fit(training, pool, CPU)) == steps
    return training.method.deliverable.state_dict()


@pytest.fixture(scope="module")
def kept(volumes):
    return small.Kept((whole(volumes[0]), whole(volumes[1])), (whole(volumes[4]),))


@pytest.fixture(scope="module")
def baseline(kept):
    return weights_after(SupervisedConfig(network=LightNet()), kept.pool(unlabelled=False))


@pytest.mark.parametrize("unlabelled", [True, False])
def test_without_its_terms_vpbsd_is_the_baseline_bit_for_bit(unlabelled, kept, baseline):
    config = VpbSDConfig(beta=0, gamma=0)
    assert config.asks == ()
    weights = weights_after(config, kept.pool(unlabelled=unlabelled))
    assert weights.keys() == baseline.keys()
    assert all(torch.equal(weights[name], baseline[name]) for name in baseline)


@pytest.mark.parametrize(
    "config",
    [VpbSDConfig(beta=0), VpbSDConfig(gamma=0, ramp_epochs=0), FitNetsConfig(teacher_width=192)],
)
def test_each_term_alone_leads_away_from_the_baseline(config, kept, baseline):
    weights = weights_after(config, kept.pool(config.asks), steps=5)
    assert any(not torch.equal(weights[name], baseline[name]) for name in baseline)


@pytest.mark.parametrize(
    "config", [VpbSDConfig(), FitNetsConfig(), SupervisedConfig(network=LightNet())]
)
def test_all_arms_start_from_one_student(config):
    start = VpbSDConfig().build(0).deliverable.state_dict()
    same, other = (config.build(seed).deliverable.state_dict() for seed in (0, 1))
    assert all(torch.equal(same[name], start[name]) for name in start)
    assert any(not torch.equal(other[name], start[name]) for name in start)


def test_all_arms_see_the_same_labelled_patches_in_the_same_order(tiny, folds):
    pools = {}
    for arm in STUDENTS:
        stage = deliverable(tiny, arm, folds[0], seed=3)
        pools[arm] = make_pool(stage, stage.config, {}), stage.config.method.build(3)
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
    ],
)
def test_only_what_a_weight_makes_use_of_is_an_upstream_stage(arm, upstream, tiny, folds):
    stage = deliverable(tiny, arm, folds[0], 0)
    assert set(stage.upstream) == upstream
    assert all(isinstance(one.config, Targets) for one in stage.upstream.values())
    assert ("unlabelled" in stage.parts) == any("unlabelled" in name for name in upstream)


def test_all_arms_share_one_teacher_and_one_word_of_it(tiny, folds):
    seen = {}
    for arm in ARMS:
        for label, key in keys(tiny, arm, folds[0]).items():
            assert seen.setdefault(label, key) == key
    stages = {PRE, FINE, "features of labelled patches", "features of unlabelled patches"}
    assert set(seen) == SAID | stages | set(STUDENTS) | {f"evaluate {arm}" for arm in ARMS}
    assert len(set(seen.values())) == len(seen)


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
        (metrics, "NUMERICS", {EVALUATE}),
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
    other = replace(fold, test=(whole(replace(volume, fingerprint="another")),))
    assert changed(keys(tiny, "vpbsd", fold), keys(tiny, "vpbsd", other)) == {EVALUATE}


def test_a_warm_up_too_short_for_its_codebook_is_refused(tiny, folds, monkeypatch):
    """2 warm steps of a patch with 2 tokens are 4, and 4 codes ask for 20 each."""
    monkeypatch.setattr(recipes, "TOKENS_PER_CODE", 20)
    with pytest.raises(recipes.BadInput, match="sees 4 tokens, but 4 codes start from 80"):
        trial(tiny, "vpbsd", folds[0], seed=0)
