"""Exposures: gamma, gain and offset of each patch vary, and of nothing but its image."""

import math
from dataclasses import replace

import pytest
import torch

from tests.test_patches import SQUARE, Own, pool  # noqa: F401 (a fixture)
from vpbsd import distributed
from vpbsd.data.augment import EXPOSURE, exposed, exposures
from vpbsd.data.folds import whole_volume
from vpbsd.data.lattice import PatchSet
from vpbsd.data.patches import (
    PatchesWithTargets,
    Pool,
    draw_corresponding,
    draw_labelled,
    draw_semi,
    draw_unlabelled,
)


def test_an_exposure_by_hand():
    """.25 and .5 at gamma 2, gain 1.5, offset .1: .0625 and .25, times 1.5, plus .1; 1 is most."""
    image = torch.tensor([0.25, 0.5, 1.0]).view(1, 1, 1, 1, 3)
    found = exposed(image, torch.tensor([[2.0, 1.5, 0.1]]))
    assert found.flatten().tolist() == pytest.approx([0.19375, 0.475, 1.0])
    dark = exposed(image, torch.tensor([[1.0, 0.5, -0.2]]))
    assert dark.flatten().tolist() == pytest.approx([0.0, 0.05, 0.3]), "nothing is negative"
    assert torch.equal(exposed(image, torch.tensor([[1.0, 1.0, 0.0]])), image)


def test_draws_fill_their_ranges_evenly_on_a_scale_of_ratios():
    gamma, gain, offset = exposures(0, "labelled", 3, 4000).unbind(1)
    for values, most in zip((gamma.log(), gain.log(), offset), EXPOSURE, strict=True):
        assert values.abs().max() <= most
        assert values.std() == pytest.approx(most / math.sqrt(3), rel=0.05)
        assert values.mean().abs() < 0.1 * most


def test_draws_are_counted_not_remembered():
    first = exposures(0, "labelled", 3, 2)
    assert torch.equal(first, exposures(0, "labelled", 3, 2))
    for other in ((1, "labelled", 3), (0, "unlabelled", 3), (0, "labelled", 4)):
        assert not torch.equal(first, exposures(*other, 2))


def test_images_vary_and_labels_and_targets_stay(pool):  # noqa: F811
    """The unlabelled targets of this pool are the patches themselves."""
    shown = replace(pool, exposure=True)
    plain, varied = draw_semi(pool, 5), draw_semi(shown, 5)
    for name in ("labelled", "unlabelled"):
        before, after = getattr(plain, name), getattr(varied, name)
        drawn = exposures(pool.seed, f"{name} exposures", 5, pool.batch)
        assert torch.equal(after.image, exposed(before.image, drawn))
        assert not torch.equal(after.image, before.image)
        assert torch.equal(after.valid, before.valid)
    assert torch.equal(varied.labelled.label, plain.labelled.label)
    assert torch.equal(varied.unlabelled.targets.pseudo, plain.unlabelled.targets.pseudo)
    assert torch.equal(varied.labelled.image, draw_labelled(shown, 5).image)


def test_corresponding_patches_vary_one_by_one(volumes):
    patches = PatchSet([whole_volume(v) for v in volumes[:2]], SQUARE)
    unlabelled = PatchesWithTargets(patches, {"pseudo": Own(patches.image)})
    still = Pool(None, unlabelled, batch=4, seed=0, augment=False)
    plain, varied = (draw_corresponding(p, 1) for p in (still, replace(still, exposure=True)))
    changes = (varied.image - plain.image).flatten(1)
    assert len(changes) == 2
    assert not torch.equal(changes[0], changes[1])


def test_processes_that_train_together_see_the_exposures_of_one(pool, monkeypatch):  # noqa: F811
    shown = replace(pool, exposure=True)
    whole = draw_unlabelled(shown, 2).image
    monkeypatch.setattr(distributed, "ranks", lambda: 2)
    for number in range(2):
        monkeypatch.setattr(distributed, "rank", lambda number=number: number)
        assert torch.equal(draw_unlabelled(shown, 2).image, whole[number : number + 1])
