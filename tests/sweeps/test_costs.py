"""Guesses of what a stage costs, where they must tell stages apart."""

import math

import pytest

from tests.small import settings
from vpbsd.data.folds import make_folds
from vpbsd.pipeline.recipes import deliverable
from vpbsd_sweeps.study.costs import (
    SKELETON,
    STUDENT_STEP,
    TEACHER_STEP,
    VNET_STEP,
    VOXELS,
    guess,
    guess_bytes,
    guess_memory,
)


def test_skeletons_are_counted_for_each_labelled_patch(volumes):
    s = settings(student__cldice_iterations=7, pretrain__optim__epochs=80)
    fold = make_folds(volumes, s.protocol)[0]
    plain, with_skeletons = (guess(deliverable(s, a, fold, 0)) for a in ("vpbsd", "vpbsd_cldice"))
    optim = s.student.optim
    patches = optim.epochs * optim.steps_per_epoch * optim.batch
    size = math.prod(s.data.patch) / VOXELS
    assert with_skeletons - plain == pytest.approx(patches * 7 * SKELETON * size)


def test_codes_of_every_turn_take_a_pass_and_two_bytes_each(volumes, cheap):
    """Patches of 32x32x64 voxels have eight turns; cells of 8 voxels are 64 times as many."""

    def codes(**changes):
        s = settings(**changes)
        fold = make_folds(volumes, s.protocol)[0]
        return deliverable(s, "vpbsd", fold, 0).upstream["codes_unlabelled"]

    still, turned = codes(), codes(student__turned_codes=True)
    assert guess(turned) == pytest.approx(8 * guess(still))
    assert guess_bytes(turned) == pytest.approx(16 * guess_bytes(still))
    finer = codes(pretrain__network__codebook__cell=8)
    assert guess_bytes(finer) == pytest.approx(64 * guess_bytes(still))


def test_networks_that_are_trained_beside_a_student_are_counted(volumes, cheap):
    s = settings()
    fold = make_folds(volumes, s.protocol)[0]
    found = {arm: guess(deliverable(s, arm, fold, 0)) for arm in ("mt", "cps", "mcsc")}
    vnet, unetr = (deliverable(s, arm, fold, 0) for arm in ("simcvd_vnet", "unetr"))
    assert found["cps"] == pytest.approx(2 * found["mt"])
    assert found["mcsc"] == pytest.approx(found["mt"] * (1 + TEACHER_STEP / STUDENT_STEP))
    patches = 2 * s.finetune.batch * (s.pretrain.optim.epochs + s.finetune.epochs) * 2
    size = math.prod(s.data.patch) / VOXELS
    assert guess(vnet) == pytest.approx(patches * VNET_STEP * size)
    assert guess_bytes(vnet) > 100 * guess_bytes(unetr)


def test_memory_by_hand(volumes, cheap):
    """A step of a Swin of 12 and of the student, whose two kinds of patches both count."""
    s = settings()
    fold = make_folds(volumes, s.protocol)[0]
    found = guess_memory(deliverable(s, "vpbsd", fold, 0).lineage())
    patch, feature = math.prod(s.data.patch), s.pretrain.network.feature_size
    swin = 16 * 62.2e6 * (feature / 48) ** 2
    batch = s.finetune.batch * patch
    assert found["fine-tuning"] == pytest.approx(1 + (swin + batch * 160 * feature) / 2**30)
    light = 16 * 0.12e6 + 2 * s.student.optim.batch * patch * 300
    assert found["student"] == pytest.approx(1 + light / 2**30)
    assert found["targets"] == 1, "nothing is kept for a gradient"
    both = guess_memory([deliverable(s, arm, fold, 0) for arm in ("light_unet", "mcsc")])
    assert both["student"] > found["student"] + swin / 2**30, (
        "the largest; it has a Swin beside it"
    )
