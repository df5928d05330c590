"""What is chosen within a fold is tried on its training parts, each of them tested once."""

from dataclasses import replace

import pytest

from tests.test_folds import groups, names, volume
from vpbsd.data.folds import Fold, make_folds, whole_volume
from vpbsd.data.inner_folds import inner_folds
from vpbsd.protocol import Protocol


def trained_on(*volumes):
    outside = whole_volume(volume("outside", "h"))
    return Fold(4, tuple(map(whole_volume, volumes)), (outside,), (outside,))


@pytest.mark.parametrize(("count", "folds"), [(2, 2), (3, 3), (7, 3)])
def test_each_training_group_is_tested_once_and_by_others(count, folds):
    fold = trained_on(*(volume(f"v{i}", f"g{i // 2}") for i in range(2 * count)))
    inner = inner_folds(fold, 16)
    assert len(inner) == folds
    assert sorted(n for f in inner for n in names(f.test)) == names(fold.train)
    for f in inner:
        assert groups(f.train).isdisjoint(groups(f.test))
        assert names(f.train + f.test) == names(fold.train)
        assert (f.index, f.unlabelled) == (4, ())


def test_the_halves_of_a_single_group_leave_a_margin():
    """Across the longer side, x here: 100 voxels, of which 16 beside the tested half are left."""
    fold = trained_on(volume("v", "g"))
    first, second = inner_folds(fold, 16)
    assert [p.box[2] for f in (first, second) for p in f.test] == [(0, 50), (50, 100)]
    assert [p.box[2] for f in (first, second) for p in f.train] == [(66, 100), (0, 34)]
    assert first.test[0].box[:2] == ((0, 40), (0, 90))


def test_parts_of_a_single_group_that_are_too_narrow_are_left_out():
    narrow, wide = volume("n", "g", shape=(40, 60, 65)), volume("w", "g", shape=(40, 66, 20))
    assert inner_folds(trained_on(narrow), 16) == ()
    first, _ = inner_folds(trained_on(narrow, wide), 16)
    assert (names(first.test), first.test[0].box[1]) == (["w"], (0, 33))


def test_the_training_slabs_of_a_spatial_fold_are_halved_within():
    wide = volume("v", "g", shape=(40, 90, 300))
    fold = make_folds((wide,), Protocol(folds=2, split="space"))[0]
    (slab,) = fold.train
    assert slab.box[2] == (166, 300)
    first, second = inner_folds(fold, 16)
    assert (first.test[0].box[2], first.train[0].box[2]) == ((166, 233), (249, 300))
    assert (second.test[0].box[2], second.train[0].box[2]) == ((233, 300), (166, 217))


def test_nothing_of_the_test_is_looked_at():
    fold = trained_on(volume("a", "g"), volume("b", "h"))
    assert inner_folds(replace(fold, test=(), unlabelled=()), 16) == inner_folds(fold, 16)
