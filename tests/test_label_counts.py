"""Training groups that keep their labels, and those that lose them."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import small
from tests.facts import groups, names, volume
from vpbsd.data.folds import final_split, held_out, make_folds, whole_volume
from vpbsd.data.volumes import open_volume
from vpbsd.errors import BadInput
from vpbsd.pipeline import recipes
from vpbsd.protocol import Protocol

SIX = tuple(volume(f"v{i}", f"g{i}") for i in range(6))


def with_labels(count, volumes=SIX, **more):
    return make_folds(volumes, Protocol(folds=3, train_groups=count, **more))


@given(draw=st.integers(0, 50), few=st.integers(1, 3), many=st.integers(1, 4))
@settings(deadline=None, max_examples=40)
def test_more_training_groups_hold_all_of_fewer(draw, few, many):
    few, many = sorted((few, many))
    whole = with_labels(None)
    for fewer, more, fold in zip(
        with_labels(few, draw=draw), with_labels(many, draw=draw), whole, strict=True
    ):
        assert len(groups(fewer.train)) == few
        assert len(groups(more.train)) == many
        assert groups(fewer.train) <= groups(more.train) <= groups(fold.train)
        assert fewer.test == more.test == fold.test
        assert groups(fewer.unlabelled) == groups(fold.train) - groups(fewer.train)


def test_all_training_groups_keep_their_labels_by_number_or_by_default():
    assert with_labels(4) == with_labels(None)


def test_a_draw_is_the_same_for_the_same_volumes_and_differs_between_draws_and_folds():
    assert with_labels(1, SIX[::-1], draw=3) == with_labels(1, draw=3)
    unlabelled = (*SIX, volume("u", "other", label=False))
    assert [f.train for f in with_labels(1, unlabelled)] == [f.train for f in with_labels(1)]
    for k in range(3):
        drawn = {names(with_labels(1, draw=draw)[k].train)[0] for draw in range(30)}
        assert len(drawn) == 4, "each training group is drawn now and then"
    places = [
        [
            sorted(groups(whole.train)).index(*groups(f.train))
            for f, whole in zip(with_labels(1, draw=d), with_labels(None), strict=True)
        ]
        for d in range(9)
    ]
    assert any(len(set(of_draw)) > 1 for of_draw in places), "folds draw by themselves"


@pytest.mark.parametrize("on", ["auto", "unlabelled", "all"])
def test_volumes_that_lost_their_label_are_unlabelled_whatever_pretrains(on):
    for fold in with_labels(1, pretrain_on=on):
        lost = set("012345") - {p.volume.name[1] for p in (*fold.train, *fold.test)}
        pool = {part.volume.name[1] for part in fold.unlabelled}
        assert len(lost) == 3
        assert pool == lost | ({p.volume.name[1] for p in fold.train} if on == "all" else set())
        assert groups(fold.test).isdisjoint(groups(fold.unlabelled))


def test_in_space_a_group_loses_the_labels_of_all_its_training_regions():
    wide = tuple(volume(f"v{i}", f"g{i}", shape=(40, 90, 300)) for i in range(3))
    whole = make_folds(wide, Protocol(folds=3, split="space"))
    some = make_folds(wide, Protocol(folds=3, split="space", train_groups=1))
    for fold, fewer in zip(whole, some, strict=True):
        assert fewer.test == fold.test
        assert len(groups(fewer.train)) == 1
        parts = {p.identity for p in (*fewer.train, *fewer.unlabelled)}
        assert parts == {p.identity for p in fold.train}


def test_more_groups_than_there_are_cannot_keep_their_labels():
    says = "protocol.train_groups is 5, but fold 0 has only 4 training groups: give 4 or fewer"
    with pytest.raises(BadInput, match=says):
        with_labels(5)


def test_an_empty_label_that_was_taken_away_is_no_matter():
    empty = tuple(replace(v, label_voxels=0) if v.name == "v5" else v for v in SIX)
    with pytest.raises(BadInput, match="label of volume v5 is empty"):
        with_labels(4, empty)
    spared = [
        d for d in range(30) if all("g5" not in groups(f.train) for f in with_labels(1, draw=d))
    ]
    assert len(with_labels(1, empty, draw=spared[0])) == 3


def test_the_final_training_has_every_label():
    few, every = (final_split(SIX, Protocol(train_groups=n), set()) for n in (1, None))
    assert few == every


def test_a_search_within_two_labels_trains_on_one_and_tests_the_other():
    for fold in with_labels(2):
        inner = held_out(fold)
        assert groups(inner.train) | groups(inner.test) == groups(fold.train)
        assert inner.unlabelled == fold.unlabelled
    with pytest.raises(BadInput, match=r"let more groups keep their labels"):
        held_out(with_labels(1)[0])


def test_a_label_that_was_taken_away_can_be_read_by_no_one(volumes):
    """All three volumes have a label on disk; through the fold two of them have none."""
    labelled = tuple(v for v in volumes if v.labelled)
    for fold in make_folds(labelled, Protocol(folds=3, train_groups=1)):
        (hidden,) = fold.unlabelled
        opened = open_volume(hidden.volume)
        assert opened.label is None
        with pytest.raises(BadInput, match="has no label"):
            opened.label_block((slice(0, 8),) * 3)
        assert open_volume(fold.train[0].volume).label is not None
        assert hidden.volume.label_voxels is None
        before = next(v for v in labelled if v.name == hidden.volume.name)
        assert hidden.identity == whole_volume(before).identity, "its image is the same"


@pytest.mark.parametrize("on", ["auto", "all"])
@pytest.mark.parametrize("arm", recipes.ARMS)
def test_no_stage_is_given_a_label_that_was_taken_away(arm, on, volumes, cheap):
    s = small.settings(protocol__pretrain_on=on, protocol__train_groups=1)
    for fold in make_folds(volumes, s.protocol):
        kept = groups(fold.train)
        last = recipes.trial(s, arm, fold, seed=0)
        for stage in last.lineage():
            for role, parts in stage.parts.items():
                with_label = {p.volume.group for p in parts if p.volume.labelled}
                assert with_label <= (groups(fold.test) if role == "test" else kept)
