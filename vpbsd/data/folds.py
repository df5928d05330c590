"""Who trains and who is tested: folds of whole groups, or of regions within volumes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from vpbsd.data.fold_checks import refuse_empty_labels, refuse_same_tissue, without_empty_tests
from vpbsd.data.parts import Box, Fold, Part, whole_volume
from vpbsd.data.volumes import VolumeInfo
from vpbsd.errors import BadInput
from vpbsd.overrides import nearest
from vpbsd.protocol import Protocol

__all__ = ["Box", "Fold", "Part", "final_split", "held_out", "make_folds", "whole_volume"]


def make_folds(volumes: tuple[VolumeInfo, ...], protocol: Protocol) -> tuple[Fold, ...]:
    """Splits a data set into folds, the same for the same volumes in any order.

    Folds by group never test an animal that trained; folds by space test slabs of every volume,
    and leave a margin of voxels out on either side of them. Where only some training groups are
    to keep their labels, the others' volumes are unlabelled in that fold; tests stay as they are.

    Raises:
        BadInput: No labelled volume, fewer groups than folds, fewer training groups than are to
            keep their labels, an empty label in a training fold, a volume too narrow for
            spatial folds, or the same voxels in training and test.
    """
    labelled = tuple(v for v in volumes if v.labelled)
    if not labelled:
        raise BadInput("no volume of the data set has a label: import at least one with a label")
    made = []
    for fold in SPLITS[protocol.split](volumes, labelled, protocol):
        refuse_empty_labels(fold)
        if protocol.split != "space":
            refuse_same_tissue(fold)
        made.append(without_empty_tests(fold))
    return tuple(made)


def final_split(volumes: tuple[VolumeInfo, ...], protocol: Protocol, holdout: set[str]) -> Fold:
    """Splits for the final training: every labelled volume trains, only `holdout` is tested.

    Every label there is: what `Protocol.train_groups` takes away is for measuring, in folds.

    Args:
        volumes: The data set.
        protocol: Which volumes a teacher is pre-trained on.
        holdout: Names of volumes to test on; their groups train nothing. May be empty.

    Raises:
        BadInput: No labelled volume is left, or the label of one is empty.
    """
    kept = [v for v in volumes if v.name not in holdout]
    tested = {v.group for v in volumes if v.name in holdout}
    train = [whole_volume(v) for v in kept if v.labelled and v.group not in tested]
    if not train:
        raise BadInput("no labelled volume is left to train on: hold out fewer groups")
    test = [whole_volume(v) for v in volumes if v.name in holdout]
    all_labels = protocol.model_copy(update={"train_groups": None})
    fold = _fold(-1, train, test, _without_label(kept, tested), all_labels)
    refuse_empty_labels(fold)
    return fold


def held_out(fold: Fold) -> Fold:
    """Makes the split of a search within a fold: one of its training groups is tested instead.

    No stage sees that group, and the answer no longer holds the fold's own test: what is
    searched on it cannot have read it. Other folds hold other groups out where there are enough.

    Raises:
        BadInput: Only one training group, or nothing left to pre-train on.
    """
    groups = sorted({part.volume.group for part in fold.train})
    if len(groups) < 2:
        raise BadInput(
            f"fold {fold.index} trains on one group only ({groups[0]}), so a search has none to "
            "hold out: import volumes of more groups, use fewer folds, or let more groups keep "
            "their labels (protocol.train_groups)"
        )
    out = groups[fold.index % len(groups)]
    unlabelled = tuple(part for part in fold.unlabelled if part.volume.group != out)
    if not unlabelled:
        raise BadInput(
            f"group {out} is held out of a search in fold {fold.index}, and no other has "
            "unlabelled volumes: pass --set protocol.pretrain_on=all"
        )
    return Fold(
        index=fold.index,
        train=tuple(part for part in fold.train if part.volume.group != out),
        test=tuple(part for part in fold.train if part.volume.group == out),
        unlabelled=unlabelled,
    )


def _by_group(
    volumes: tuple[VolumeInfo, ...], labelled: tuple[VolumeInfo, ...], protocol: Protocol
) -> tuple[Fold, ...]:
    groups = sorted({v.group for v in labelled})
    if len(groups) < protocol.folds:
        fewer = f"--folds {len(groups)} or " if len(groups) > 1 else ""
        raise BadInput(
            f"{protocol.folds} folds need as many groups, but the labelled volumes have "
            f"{len(groups)} ({', '.join(groups)}): pass {fewer}--split space"
        )
    every = (set(groups[k :: protocol.folds]) for k in range(protocol.folds))
    return tuple(_testing(k, tested, volumes, protocol) for k, tested in enumerate(every))


def _by_name(
    volumes: tuple[VolumeInfo, ...], labelled: tuple[VolumeInfo, ...], protocol: Protocol
) -> tuple[Fold, ...]:
    """Makes the one split of published data sets: the last groups by name, or named ones, test."""
    groups = sorted({v.group for v in labelled})
    assert protocol.tested is not None, "a named split says whom it tests"
    if isinstance(protocol.tested, int):
        tested = groups[-protocol.tested :]
    else:
        tested = list(protocol.tested)
    unknown = sorted(set(tested) - set(groups))
    if unknown:
        raise BadInput(
            f"protocol.tested names {unknown[0]}, which is no labelled group"
            f"{nearest(unknown[0], groups)}"
        )
    if len(tested) >= len(groups):
        raise BadInput(
            f"protocol.tested is {len(tested)} groups, and {len(groups)} have a label: none is "
            "left to train on"
        )
    return (_testing(0, set(tested), volumes, protocol),)


def _testing(
    index: int, tested: set[str], volumes: tuple[VolumeInfo, ...], protocol: Protocol
) -> Fold:
    """Makes the fold that tests all labelled volumes of some groups."""
    labelled = [v for v in volumes if v.labelled]
    train = [whole_volume(v) for v in labelled if v.group not in tested]
    test = [whole_volume(v) for v in labelled if v.group in tested]
    return _fold(index, train, test, _without_label(volumes, tested), protocol)


def _without_label(volumes: Iterable[VolumeInfo], tested: set[str]) -> list[Part]:
    """Selects volumes without label of untested groups."""
    return [whole_volume(v) for v in volumes if not v.labelled and v.group not in tested]


def _fold(
    index: int, train: list[Part], test: list[Part], without: list[Part], protocol: Protocol
) -> Fold:
    """Makes a fold: some training parts may lose their label, and training images may join."""
    kept = _groups_with_labels(index, train, protocol)
    left = [part for part in train if part.volume.group in kept]
    lost = [_hidden(part) for part in train if part.volume.group not in kept]
    unlabelled = _joined(without + lost, left, protocol)
    return Fold(index, _sorted(left), _sorted(test), unlabelled)


def _groups_with_labels(index: int, train: list[Part], protocol: Protocol) -> set[str]:
    """Draws the training groups of a fold that keep their labels: the first of a random order."""
    groups = sorted({part.volume.group for part in train})
    if protocol.train_groups is None:
        return set(groups)
    if protocol.train_groups > len(groups):
        raise BadInput(
            f"protocol.train_groups is {protocol.train_groups}, but fold {index} has only "
            f"{len(groups)} training groups: give {len(groups)} or fewer, or leave it out for all"
        )
    if protocol.split == "named" and protocol.draw == 0:
        return set(groups[: protocol.train_groups])
    order = np.random.Generator(np.random.PCG64([protocol.draw, index])).permutation(len(groups))
    return {groups[i] for i in order[: protocol.train_groups]}


def _hidden(part: Part) -> Part:
    """Takes the label away: whoever opens this part finds none."""
    return part._replace(volume=replace(part.volume, labelled=False, label_voxels=None))


def _joined(without: list[Part], train: list[Part], protocol: Protocol) -> tuple[Part, ...]:
    on = protocol.pretrain_on
    if on == "own":
        return _sorted(train)
    if on == "unlabelled" and not without:
        raise BadInput(
            "no unlabelled volume outside the test groups: pass --set protocol.pretrain_on=all"
        )
    if on == "all" or (on == "auto" and not without):
        return _sorted(without + train)
    return _sorted(without)


def _by_space(
    volumes: tuple[VolumeInfo, ...], labelled: tuple[VolumeInfo, ...], protocol: Protocol
) -> tuple[Fold, ...]:
    """Makes folds in which fold k tests the k-th slab of every volume, across its longer side."""
    without = [whole_volume(v) for v in volumes if not v.labelled]
    folds = []
    for k in range(protocol.folds):
        train: list[Part] = []
        test: list[Part] = []
        for volume in labelled:
            tested, trained = _slabs(volume, k, protocol)
            test.append(tested)
            train.extend(trained)
        folds.append(_fold(k, train, test, without, protocol))
    return tuple(folds)


def _slabs(volume: VolumeInfo, k: int, protocol: Protocol) -> tuple[Part, list[Part]]:
    # Never along z: a slab of a thin stack would be a few planes.
    axis = 2 if volume.shape[2] >= volume.shape[1] else 1
    n = volume.shape[axis]
    start, stop = n * k // protocol.folds, n * (k + 1) // protocol.folds
    if stop - start <= 2 * protocol.margin:
        raise BadInput(
            f"volume {volume.name} is {n} voxels wide, too narrow for {protocol.folds} spatial "
            f"folds with a margin of {protocol.margin}: use fewer folds or a smaller margin"
        )
    beside = [(0, start - protocol.margin), (stop + protocol.margin, n)]
    train = [_cut(volume, axis, a, b) for a, b in beside if b > a]
    return _cut(volume, axis, start, stop), train


def _cut(volume: VolumeInfo, axis: int, start: int, stop: int) -> Part:
    box = list(whole_volume(volume).box)
    box[axis] = (start, stop)
    return Part(volume, (box[0], box[1], box[2]))


def _sorted(parts: list[Part]) -> tuple[Part, ...]:
    return tuple(sorted(parts, key=lambda part: part.identity))


SPLITS = {"group": _by_group, "space": _by_space, "named": _by_name}
"""By the name that `protocol.split` takes."""
