"""Guesses of what a stage costs, where they must tell stages apart."""

import math

import pytest

from tests.small import settings
from vpbsd.data.folds import make_folds
from vpbsd.pipeline.recipes import deliverable
from vpbsd_sweeps.study.costs import SKELETON, VOXELS, guess


def test_skeletons_are_counted_for_each_labelled_patch(volumes):
    s = settings(student__cldice_iterations=7, pretrain__optim__epochs=80)
    fold = make_folds(volumes, s.protocol)[0]
    plain, with_skeletons = (guess(deliverable(s, a, fold, 0)) for a in ("vpbsd", "vpbsd_cldice"))
    optim = s.student.optim
    patches = optim.epochs * optim.steps_per_epoch * optim.batch
    size = math.prod(s.data.patch) / VOXELS
    assert with_skeletons - plain == pytest.approx(patches * 7 * SKELETON * size)
