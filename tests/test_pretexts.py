"""Teachers that are pre-trained otherwise: their recipes, their students, where they start."""

import json

import pytest
import torch

from tests import small
from vpbsd.data.folds import make_folds
from vpbsd.errors import BadInput
from vpbsd.methods.configs import SupervisedConfig
from vpbsd.methods.roster import build_method
from vpbsd.networks.build import WEIGHTS, build_network, load_network, save_network
from vpbsd.pipeline import recipes, run
from vpbsd.pipeline.crossings import MATRIX, PRETRAININGS, crossed, learns_from_teacher, matrix
from vpbsd.pipeline.pretraining_arms import PRETRAINED
from vpbsd.pipeline.stage_config import Train
from vpbsd.pipeline.teachers import FROZEN_IN_FINE_TUNING
from vpbsd.safetensors_io import load_weights
from vpbsd_sweeps.study.study import asked, check_arm, check_arms
from vpbsd_sweeps.study.void import examined_by, voided_by

OTHERS = [name for name in PRETRAININGS if name not in ("patterns", "none")]


def lineage(s, arm, fold):
    return {stage.label: stage for stage in recipes.trial(s, arm, fold, 0).lineage()}


@pytest.mark.parametrize("how", OTHERS)
def test_all_students_share_one_pretraining(how, tiny, folds, cheap):
    """Those without code words share the fine-tuned teacher too; it has no codebook."""
    stages = {
        student: lineage(tiny, crossed(student, how), folds[0])
        for student in ("teacher", "kd", "vpbsd_wo_dis", "vpbsd")
    }
    pre, tuned = f"pre-training, {how}", f"fine-tuning, {how}"
    assert len({own[pre].key for own in stages.values()}) == 1
    assert stages["teacher"][pre].family == "pre-training"
    assert stages["teacher"][pre].parts.keys() == {"unlabelled"}
    plain = {own[tuned].key for name, own in stages.items() if name != "vpbsd"}
    assert len(plain) == 1
    assert stages["teacher"][tuned].config.method.network.codebook is None
    coded = stages["vpbsd"][f"{tuned}, codes"].config.method
    assert coded.starts_codebook
    assert not coded.network.decode_codes


@pytest.mark.parametrize("how", OTHERS)
def test_no_codebook_is_what_voids_or_proves_them(how, tiny, folds, cheap):
    """A pre-training without code words voids nothing; codes that are learned are judged."""
    for student in ("teacher", "kd"):
        last = recipes.trial(tiny, crossed(student, how), folds[0], 0)
        assert examined_by(last) is None
        assert all(stage.family != "pre-training" for stage in voided_by(last))
        nets = [s.config.method for s in voided_by(last) if isinstance(s.config, Train)]
        assert not any(getattr(net, "starts_codebook", False) for net in nets)
    last = recipes.trial(tiny, crossed("vpbsd", how), folds[0], 0)
    assert examined_by(last).upstream.keys() == {"teacher"}
    assert f"fine-tuning, {how}, codes" in {stage.label for stage in voided_by(last)}


def test_a_budget_for_all_and_an_optimiser_of_its_own(tiny, folds, cheap):
    """As many patches a step too: S2DC's regions are four of them."""
    s = recipes.override(tiny, {"pretrain.optim.batch": 8})
    for how, rate, batch in (("s2dc", 3e-4, 2), ("comparative", 1e-4, 8), ("chaitanya", 1e-3, 8)):
        optim = lineage(s, how, folds[0])[f"pre-training, {how}"].config.optim
        assert (optim.lr, optim.epochs, optim.batch) == (rate, 2, batch)
    assert lineage(tiny, "s2dc", folds[0])["pre-training, s2dc"].config.optim.batch == 1


def test_regions_are_drawn_for_s2dc_alone(tiny, volumes):
    fold = make_folds(volumes, tiny.protocol)[0]
    for how, patch in {"s2dc": (32, 64, 128), "comparative": (32, 32, 64)}.items():
        stage = lineage(tiny, how, fold)[f"pre-training, {how}"]
        pool = run_pool(stage)
        assert pool.unlabelled.patches.data.patch == patch
        assert pool.unlabelled.patches.image(0).shape == patch


def run_pool(stage):
    from vpbsd.pipeline.run_train import make_pool

    return make_pool(stage.spec, stage.config, {})


def test_a_setting_is_enough_to_pretrain_another_way(tiny, folds, cheap):
    """`--set pretrain.pretext=s2dc` makes of any arm its crossing."""
    s = recipes.override(tiny, {"pretrain.pretext": "s2dc"})
    by_setting = recipes.deliverable(s, "kd", folds[0], 0).key
    assert by_setting == recipes.deliverable(tiny, "kd_on_s2dc", folds[0], 0).key


def test_one_volume_cannot_be_compared_with_itself(tiny, folds):
    fold = folds[0]
    alone = type(fold)(fold.index, fold.train, fold.test, fold.unlabelled[:1])
    for how in ("comparative", "contrastive", "chaitanya"):
        with pytest.raises(BadInput, match="one unlabelled volume only"):
            recipes.trial(tiny, how, alone, 0)
    recipes.trial(tiny, "s2dc", alone, 0)


@pytest.mark.parametrize(
    ("arm", "changes"),
    [
        ("comparative", {"pretrain.slices.partitions": 17}),
        ("comparative_unetr", {"pretrain.slices.partitions": 8}),
        ("chaitanya", {"pretrain.chaitanya.partitions": 17}),
    ],
)
def test_more_slabs_than_slices_are_refused(arm, changes, tiny, folds):
    s = recipes.override(tiny, changes)
    if arm == "comparative_unetr":  # the arm sets P itself only where its table varies it
        s = recipes.override(s, {"pretrain.pretext": "comparative"})
    with pytest.raises(BadInput, match="too few for"):
        recipes.trial(s, arm, folds[0], 0)


def test_crossings_are_named_once():
    assert crossed("teacher", "s2dc") == check_arm("teacher_on_s2dc") == "s2dc"
    assert check_arm("vpbsd_on_none") == "vpbsd_no_pretrain"
    assert check_arm("kd_on_patterns") == "kd"
    assert check_arms(["arm:s2dc", "kd_on_none"]) == ("s2dc", "kd_on_none")
    assert len(check_arms(["s2dc"])) > 5, "the table"
    assert [asked(arm) for arm in ("s2dc", "kd_on_s2dc")] == ["arm:s2dc", "kd_on_s2dc"]
    assert matrix(["kd", "mt"]) == [*(crossed("kd", how) for how in MATRIX), "mt"]


@pytest.mark.parametrize(
    ("arm", "why"),
    [
        ("kd_on_s2d", "did you mean 's2dc'"),
        ("kdd_on_s2dc", "there is no arm 'kdd'; did you mean 'kd'"),
        ("mt_on_s2dc", "arm 'mt' has no teacher"),
        ("vpbsd_no_pretrain_on_s2dc", "or settles how that is pre-trained itself"),
        ("otsu_on_s2dc", "there is no arm 'otsu'"),
    ],
)
def test_crossings_that_cannot_be_are_refused(arm, why):
    with pytest.raises(BadInput, match=why):
        check_arm(arm)


def test_arms_that_cross_are_those_with_a_teacher(tiny, folds, cheap):
    for arm in recipes.ARMS:
        if arm in recipes.THRESHOLDS or arm in PRETRAINED:
            continue
        families = {stage.family for stage in recipes.trial(tiny, arm, folds[0], 0).lineage()}
        open_to = "pre-training" in families
        assert learns_from_teacher(arm) == open_to, arm


def test_a_teacher_with_codes_starts_where_one_without_does(tmp_path):
    """The codebook is no part of what was pre-trained: all else is, and is loaded strictly."""
    network = build_network(small.PLAIN, 5)
    save_network(tmp_path, network, small.PLAIN)
    network = small.NETWORK.model_copy(update={"decode_codes": False})
    config = SupervisedConfig(network=network, frozen=FROZEN_IN_FINE_TUNING)
    method = build_method(config, 1)
    before = {name: x.clone() for name, x in method.deliverable.state_dict().items()}
    load_weights(tmp_path / WEIGHTS, method.deliverable, may_lack=("quantiser.",))
    after, stored = method.deliverable.state_dict(), load_network(tmp_path).state_dict()
    for name, value in after.items():
        expected = before[name] if name.startswith("quantiser.") else stored[name]
        assert torch.equal(value, expected), name
    with pytest.raises(RuntimeError, match="quantiser"):
        load_weights(tmp_path / WEIGHTS, method.deliverable)
    with pytest.raises(RuntimeError, match="Missing key"):
        load_weights(tmp_path / WEIGHTS, build_network(small.UNETR, 0), ("quantiser.",))


@pytest.mark.slow
def test_a_trial_runs_from_pretraining_to_its_numbers(tiny, folds, cheap, tmp_path):
    """VpbSD on a teacher that UNETR's rival pre-trained: codes, students, evaluation."""
    s = recipes.override(tiny, {"pretrain.s2dc.hidden": 8, "pretrain.s2dc.width": 6})
    done = {}
    for stage in recipes.trial(s, "vpbsd_on_s2dc", folds[0], 0).lineage():
        done[stage.key] = tmp_path / stage.key
        done[stage.key].mkdir()
        inputs = {name: done[up.key] for name, up in stage.upstream.items()}
        for _ in run.run(stage, inputs, done[stage.key]):
            pass
        if stage.family == "fine-tuning":
            summary = json.loads((done[stage.key] / "summary.json").read_text())
            assert "perplexity" in summary["numbers"], "its codes are judged"
            assert "code_drift" not in summary["numbers"], "there were none before"
    rows = json.loads((done[stage.key] / "rows.json").read_text())
    assert rows
    assert all("dsc" in row for row in rows)
