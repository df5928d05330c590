"""Batches: who is drawn when, and that one turn goes with everything known of a patch."""

from collections import Counter
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch

from vpbsd.config import Data
from vpbsd.data.folds import whole_volume
from vpbsd.data.lattice import PatchSet
from vpbsd.data.patches import (
    Labelled,
    PatchesWithTargets,
    Pool,
    Semi,
    TeacherTargets,
    Unlabelled,
    draw_labelled,
    draw_semi,
    draw_unlabelled,
    to_device,
)

SQUARE = Data(patch=(32, 64, 64))


class Own:
    """Targets that are the patch itself, so that a wrong turn or order shows."""

    def __init__(self, read):
        self.read = read

    def __getitem__(self, i):
        values = self.read(i)
        return values if values.ndim == 4 else values[None]


@pytest.fixture(scope="module")
def pool(volumes):
    """Four labelled and three unlabelled patches, some of them thin."""

    def with_targets(parts):
        patches = PatchSet(parts, SQUARE)
        return PatchesWithTargets(patches, {"pseudo": Own(patches.image)})

    labelled, unlabelled = (
        [whole_volume(volumes[i]) for i in which] for which in ((0, 1, 2), (3, 4))
    )
    labelled, unlabelled = with_targets(labelled), with_targets(unlabelled)
    labelled = replace(
        labelled,
        targets={"codes": Own(labelled.patches.label), "features": Own(labelled.patches.valid)},
    )
    return Pool(labelled, unlabelled, batch=2, seed=0, augment=True)


def number_of(image, patches):
    """Which patch an image is, whatever its turn: by its sorted intensities."""
    ordered = np.sort(image.numpy(), axis=None)
    return next(
        i
        for i in range(len(patches))
        if np.array_equal(np.sort(patches.image(i), axis=None), ordered)
    )


def drawn(pool, draw, steps):
    patches = (pool.unlabelled if draw is draw_unlabelled else pool.labelled).patches
    images = chain.from_iterable(draw(pool, step).image for step in steps)
    return [number_of(image, patches) for image in images]


def test_every_patch_once_per_pass_and_in_a_fresh_order(pool):
    assert len(pool.labelled.patches) == 4
    passes = [drawn(pool, draw_labelled, range(2 * p, 2 * p + 2)) for p in range(4)]
    assert all(sorted(one) == [0, 1, 2, 3] for one in passes)
    assert len({tuple(one) for one in passes}) > 1


def test_a_batch_may_span_two_passes(pool):
    numbers = drawn(replace(pool, batch=3), draw_labelled, range(4))
    assert [Counter(numbers[i : i + 4]) for i in (0, 4, 8)] == [Counter(range(4))] * 3


def test_a_step_gives_the_same_batch_whatever_came_before(pool):
    first = draw_semi(pool, 3)
    draw_semi(pool, 0)
    again = draw_semi(pool, 3)
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.image, other.image)


def test_streams_do_not_depend_on_one_another(pool):
    alone = replace(pool, unlabelled=None)
    assert torch.equal(draw_labelled(alone, 1).image, draw_semi(pool, 1).labelled.image)
    assert draw_semi(alone, 1).unlabelled is None
    other, pool = replace(pool, seed=1, augment=False), replace(pool, augment=False)
    assert any(
        not torch.equal(draw_labelled(other, s).image, draw_labelled(pool, s).image)
        for s in range(2)
    )


def test_one_turn_for_all_that_is_known_of_a_patch(pool):
    turns = 0
    for step in range(4):
        labelled, unlabelled = draw_semi(pool, step)
        assert torch.equal(labelled.targets.codes, labelled.label)
        assert torch.equal(labelled.targets.features, labelled.valid)
        assert torch.equal(unlabelled.targets.pseudo, unlabelled.image)
        for image, label in zip(labelled.image, labelled.label, strict=True):
            i = number_of(image, pool.labelled.patches)
            plain = torch.from_numpy(pool.labelled.patches.image(i))[None]
            truth = torch.from_numpy(pool.labelled.patches.label(i))
            turns += not torch.equal(image, plain)
            assert torch.equal(label, truth) == torch.equal(image, plain)
    assert turns > 3


def test_without_augmentation_patches_come_as_they_are(pool):
    plain = replace(pool, augment=False)
    for step in range(2):
        batch, augmented = draw_labelled(plain, step), draw_labelled(pool, step)
        for image, other in zip(batch.image, augmented.image, strict=True):
            i = number_of(image, pool.labelled.patches)
            assert torch.equal(image[0], torch.from_numpy(pool.labelled.patches.image(i)))
            assert number_of(other, pool.labelled.patches) == i  # the order is that of all arms


def test_shapes_and_kinds(pool):
    labelled, unlabelled = draw_semi(pool, 0)
    assert type(labelled) is Labelled
    assert type(unlabelled) is Unlabelled
    for tensor in (
        labelled.image,
        labelled.label,
        labelled.valid,
        unlabelled.image,
        unlabelled.valid,
    ):
        assert tensor.shape == (2, 1, 32, 64, 64)
        assert tensor.dtype == torch.float32
    assert labelled.targets.pseudo is None
    assert "label" not in Unlabelled._fields


def test_one_pass_is_over_the_labelled_patches_where_they_are_drawn(pool):
    three = replace(pool, batch=3)
    assert three.steps_per_pass(draw_labelled) == three.steps_per_pass(draw_semi) == 2
    assert (
        replace(three, unlabelled=three.labelled, labelled=None).steps_per_pass(draw_unlabelled)
        == 2
    )
    assert (
        replace(pool, batch=1).steps_per_pass(draw_unlabelled) == len(pool.unlabelled.patches) == 3
    )


def test_a_batch_moves_as_a_whole(pool):
    batch = draw_semi(pool, 0)
    gone = to_device(batch, torch.device("meta"))
    assert type(gone) is Semi
    assert gone.labelled.targets.codes.device.type == gone.unlabelled.image.device.type == "meta"
    assert gone.labelled.targets.pseudo is None
    assert batch.labelled.image.device.type == "cpu"
    assert to_device(Semi(batch.labelled, None), torch.device("meta")).unlabelled is None


def test_an_oblong_patch_is_never_turned_by_a_quarter(volumes):
    patches = PatchSet([whole_volume(volumes[0])], Data(patch=(32, 32, 64)))
    pool = Pool(PatchesWithTargets(patches, {}), None, batch=1, seed=0, augment=True)
    for step in range(8):
        batch = draw_labelled(pool, step)
        assert batch.image.shape == (1, 1, 32, 32, 64)
        assert batch.targets == TeacherTargets()
