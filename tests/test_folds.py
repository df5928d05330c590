"""Nobody is tested on whom a stage has seen: neither by group nor by region."""

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests import small
from tests.facts import groups, names, volume
from vpbsd.data.folds import Part, final_split, make_folds, whole_volume
from vpbsd.data.volume_writer import write_array
from vpbsd.errors import BadInput
from vpbsd.pipeline import recipes
from vpbsd.pipeline.run_train import make_pool
from vpbsd.pipeline.stage_config import Train
from vpbsd.protocol import Protocol


def test_eleven_groups_make_folds_of_3_2_2_2_2():
    volumes = tuple(volume(f"v{i}", f"g{i:02d}") for i in range(11))
    folds = make_folds(volumes, Protocol(folds=5))
    assert [len(fold.test) for fold in folds] == [3, 2, 2, 2, 2]
    assert sorted(name for fold in folds for name in names(fold.test)) == sorted(
        v.name for v in volumes
    )
    assert [fold.index for fold in folds] == [0, 1, 2, 3, 4]


@given(
    owners=st.lists(st.integers(0, 6), min_size=2, max_size=14),
    labels=st.integers(0, 2**14),
    count=st.integers(2, 4),
    on=st.sampled_from(["auto", "all", "own"]),
)
@settings(deadline=None, max_examples=60)
def test_no_group_is_on_both_sides(owners, labels, count, on):
    volumes = tuple(
        volume(f"v{i}", f"g{owner}", label=bool(labels >> i & 1)) for i, owner in enumerate(owners)
    )
    labelled = [v for v in volumes if v.labelled]
    assume(len({v.group for v in labelled}) >= count)
    folds = make_folds(volumes, Protocol(folds=count, pretrain_on=on))
    assert make_folds(volumes[::-1], Protocol(folds=count, pretrain_on=on)) == folds
    for fold in folds:
        assert fold.test
        assert groups(fold.test).isdisjoint(groups(fold.train) | groups(fold.unlabelled))
        assert names(fold.train + fold.test) == names([whole_volume(v) for v in labelled])
    assert sum(len(fold.test) for fold in folds) == len(labelled)


def test_who_pretrains():
    volumes = (
        volume("a", "A"),
        volume("b", "B"),
        volume("c", "C", label=False),
        volume("d", "B", label=False),
    )

    def unlabelled(on, volumes=volumes):
        return [
            names(f.unlabelled) for f in make_folds(volumes, Protocol(folds=2, pretrain_on=on))
        ]

    assert unlabelled("auto") == unlabelled("unlabelled") == [["c", "d"], ["c"]]  # B is tested 2nd
    assert unlabelled("all") == [["b", "c", "d"], ["a", "c"]]
    assert unlabelled("own") == [["b"], ["a"]]
    assert unlabelled("auto", volumes[:2]) == [["b"], ["a"]]
    with pytest.raises(BadInput, match="--set protocol.pretrain_on=all"):
        unlabelled("unlabelled", volumes[:2])


def test_spatial_folds_by_hand():
    """100 voxels along x, two folds, a margin of 16."""
    first, second = make_folds((volume("a", "A"),), Protocol(folds=2, split="space", margin=16))
    z, y = (0, 40), (0, 90)
    assert [part.box for part in first.test] == [(z, y, (0, 50))]
    assert [part.box for part in first.train] == [(z, y, (66, 100))]
    assert [part.box for part in second.test] == [(z, y, (50, 100))]
    assert [part.box for part in second.train] == [(z, y, (0, 34))]
    assert first.train[0].shape == (40, 90, 34)


@given(
    n=st.integers(20, 400),
    other=st.integers(8, 400),
    folds=st.integers(2, 5),
    margin=st.integers(0, 20),
)
@settings(deadline=None, max_examples=60)
def test_spatial_folds_tile_the_volume_and_keep_their_distance(n, other, folds, margin):
    info = volume("a", "A", shape=(10, other, n))
    protocol = Protocol(folds=folds, split="space", margin=margin)
    axis, length = (2, n) if n >= other else (1, other)
    assume(length // folds > 2 * margin)
    tested = []
    for fold in make_folds((info,), protocol):
        (test,) = fold.test
        tested.append(test.box[axis])
        assert fold.train
        for train in fold.train:
            (a, b), (c, d) = test.box[axis], train.box[axis]
            assert max(c - b, a - d) == margin  # right beside, and no closer
            assert all(
                p == q
                for i, (p, q) in enumerate(zip(test.box, train.box, strict=True))
                if i != axis
            )
    assert tested[0][0] == 0
    assert tested[-1][1] == length
    assert all(one[1] == after[0] for one, after in pairwise(tested))


def test_unlabelled_volumes_serve_all_spatial_folds():
    volumes = (volume("a", "A"), volume("u", "A", label=False))
    for fold in make_folds(volumes, Protocol(folds=2, split="space")):
        assert names(fold.unlabelled) == ["u"]
    for fold in make_folds(volumes[:1], Protocol(folds=2, split="space")):
        assert fold.unlabelled == fold.train  # the tested slab stays out


@pytest.mark.parametrize(
    ("volumes", "protocol", "says"),
    [
        ([volume("a", "A", label=False)], Protocol(), "no volume of the data set has a label"),
        (
            [volume("a", "A"), volume("b", "B"), volume("c", "B")],
            Protocol(folds=5),
            "5 folds need as many groups, but the labelled volumes have 2 (A, B): "
            "pass --folds 2 or --split space",
        ),
        ([volume("a", "A")], Protocol(folds=2), "have 1 (A): pass --split space"),
        (
            [volume("a", "A"), volume("b", "B", label_voxels=0)],
            Protocol(folds=2),
            "the label of volume b is empty, and it would train fold 0",
        ),
        (
            [volume("a", "A", shape=(40, 60, 64))],
            Protocol(folds=2, split="space"),
            "volume a is 64 voxels wide, too narrow for 2 spatial folds with a margin of 16",
        ),
    ],
)
def test_data_that_cannot_be_split_are_refused(volumes, protocol, says):
    with pytest.raises(BadInput) as caught:
        make_folds(tuple(volumes), protocol)
    assert says in str(caught.value)


def test_the_final_training_holds_out_whole_groups():
    volumes = (
        volume("a", "A"),
        volume("a2", "A"),
        volume("b", "B"),
        volume("u", "A", label=False),
        volume("v", "C", label=False),
    )
    fold = final_split(volumes, Protocol(), {"a"})
    assert [names(p) for p in (fold.train, fold.test, fold.unlabelled)] == [["b"], ["a"], ["v"]]
    fold = final_split(volumes, Protocol(), set())
    assert [names(p) for p in (fold.train, fold.test, fold.unlabelled)] == [
        ["a", "a2", "b"],
        [],
        ["u", "v"],
    ]
    with pytest.raises(BadInput, match="no labelled volume is left"):
        final_split(volumes, Protocol(), {"a", "b"})


def test_a_part_is_known_by_content_and_place():
    info = volume("a", "A")
    moved = replace(info, name="b", path="/elsewhere", group="B")
    assert whole_volume(info).identity == whole_volume(moved).identity
    box = ((0, 40), (0, 90), (0, 50))
    assert Part(info, box).identity != whole_volume(info).identity
    assert whole_volume(replace(info, fingerprint="other")).identity != whole_volume(info).identity


@pytest.mark.parametrize("on", ["auto", "all", "own"])
def test_tested_groups_reach_no_loader(on, volumes, cheap, tmp_path):
    """An unlabelled volume of a tested animal is as forbidden as a labelled one.

    Stages that read the same parts under the same sampling have one loader: it is built once.
    """
    image = np.random.default_rng(0).integers(0, 99, (32, 32, 64)).astype(np.uint16)
    sibling = write_array(tmp_path, "sibling", image, spacing_um=None, group="animal1")
    s = small.settings(protocol__pretrain_on=on)
    built = set()
    for arm, fold in product(recipes.ARMS, make_folds((*volumes, sibling), s.protocol)):
        last = recipes.trial(s, arm, fold, seed=0)
        tested = groups(last.parts["test"])
        assert tested
        for stage in last.lineage():
            learned = [parts for role, parts in stage.parts.items() if role != "test"]
            read = {v for parts in learned for v in groups(parts)}
            if stage is last:
                assert tested.isdisjoint(read)
            else:
                assert read
                assert tested.isdisjoint(read), stage.label
            if not isinstance(stage.config, Train):
                continue
            loader = repr((stage.config.data, stage.config.sampling, stage.parts))
            if loader not in built:
                built.add(loader)
                pool = make_pool(stage, stage.config, {})
                asked = [a for a in (pool.labelled, pool.unlabelled) if a is not None]
                drawn = {a.patches.parts[c.part] for a in asked for c in a.patches.cells}
                assert drawn
                assert tested.isdisjoint(groups(drawn)), stage.label
