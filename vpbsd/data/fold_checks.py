"""What no fold may do: test where nothing is annotated, or on tissue that it trains on."""

from __future__ import annotations

from dataclasses import replace

from vpbsd.data.parts import Fold, Part, whole_volume
from vpbsd.data.volumes import label_profile
from vpbsd.errors import BadInput


def labelled_voxels(part: Part) -> int | None:
    """Counts the voxels of any class in a part, from counts of the import; None if not known.

    A part is all of a volume but along one axis, as spatial folds cut it.
    """
    whole = whole_volume(part.volume).box
    cut = [axis for axis in range(3) if part.box[axis] != whole[axis]]
    if not cut or not part.volume.label_voxels:
        return part.volume.label_voxels
    profile = label_profile(part.volume, cut[0]) if len(cut) == 1 else None
    start, stop = part.box[cut[0]]
    return None if profile is None else int(profile[start:stop].sum())


def place(part: Part) -> str:
    """Renders a part as people read it: its volume, and what of it where that is not all."""
    whole = whole_volume(part.volume).box
    sides = zip("zyx", part.box, whole, strict=True)
    cut = [
        f"{axis} {start} to {stop}" for axis, (start, stop), all_ in sides if (start, stop) != all_
    ]
    return f"{part.volume.name} ({', '.join(cut)})" if cut else part.volume.name


def without_empty_tests(fold: Fold) -> Fold:
    """Leaves parts out of the test that hold no class: their DSC would be 0 or nothing."""
    empty = tuple(part for part in fold.test if labelled_voxels(part) == 0)
    test = tuple(part for part in fold.test if part not in empty)
    if not test:
        raise BadInput(
            f"fold {fold.index} would test only what has no labelled voxel "
            f"({', '.join(map(place, empty))}): if it is not annotated, crop the volumes to what "
            "is; else use fewer folds or another split"
        )
    if fold.train and all(labelled_voxels(part) == 0 for part in fold.train):
        raise BadInput(
            f"fold {fold.index} would train only on what has no labelled voxel "
            f"({', '.join(map(place, fold.train))}): if it is not annotated, crop the volumes to "
            "what is; else use fewer folds or another split"
        )
    return replace(fold, test=test, untested=empty)


def refuse_same_tissue(fold: Fold) -> None:
    """Refuses a fold that reads the voxels of a test volume in training, under another group."""
    tested = {p.volume.content: p.volume for p in fold.test if p.volume.content is not None}
    for part in (*fold.train, *fold.unlabelled):
        same = tested.get(part.volume.content or "")
        if same is not None:
            raise BadInput(
                f"fold {fold.index} tests {same.name} (group {same.group}) and trains on "
                f"{part.volume.name} (group {part.volume.group}), which holds the same voxels: "
                "import them again with one group (--group, --replace), or leave one out"
            )


def refuse_empty_labels(fold: Fold) -> None:
    """Refuses a fold that would train on a volume whose label is empty."""
    for part in fold.train:
        if part.volume.label_voxels == 0:
            raise BadInput(
                f"the label of volume {part.volume.name} is empty, and it would train fold "
                f"{fold.index}: import it without its label, or leave it out"
            )
