"""Inner folds: the training parts of a fold, split again, for what is chosen on them alone."""

from __future__ import annotations

from vpbsd.data.folds import Fold, Part

MOST = 3
"""Inner folds of a fold; more groups than that are dealt out to them."""


def inner_folds(fold: Fold, margin: int) -> tuple[Fold, ...]:
    """Splits the training parts of a fold again: each of its groups is tested once.

    The parts of a single group are cut in halves, of which each is tested once.

    Args:
        fold: Its test and unlabelled parts are not looked at.
        margin: Voxels left out beside a tested half.

    Returns:
        Two or three folds without unlabelled parts; none where a single group is too narrow.
    """
    groups = sorted({part.volume.group for part in fold.train})
    if len(groups) == 1:
        return _halves(fold, margin)
    count = min(MOST, len(groups))
    return tuple(_without(fold, set(groups[k::count])) for k in range(count))


def _without(fold: Fold, tested: set[str]) -> Fold:
    return Fold(
        index=fold.index,
        train=tuple(part for part in fold.train if part.volume.group not in tested),
        test=tuple(part for part in fold.train if part.volume.group in tested),
        unlabelled=(),
    )


def _halves(fold: Fold, margin: int) -> tuple[Fold, ...]:
    """Tests the first half of every part that is wide enough, then the second."""
    wide = [part for part in fold.train if _width(part) // 2 > 2 * margin]
    if not wide:
        return ()
    first, second = ([_half(part, k, 0) for part in wide] for k in (0, 1))
    before, after = ([_half(part, k, margin) for part in wide] for k in (0, 1))
    return (
        Fold(fold.index, tuple(after), tuple(first), ()),
        Fold(fold.index, tuple(before), tuple(second), ()),
    )


def _axis(part: Part) -> int:
    return 2 if part.shape[2] >= part.shape[1] else 1  # never z, as in spatial folds


def _width(part: Part) -> int:
    return part.shape[_axis(part)]


def _half(part: Part, k: int, margin: int) -> Part:
    """Cuts the k-th half out of a part, less a margin on the side of the other half."""
    box, axis = list(part.box), _axis(part)
    start, stop = box[axis]
    middle = (start + stop) // 2
    box[axis] = (start, middle - margin) if k == 0 else (middle + margin, stop)
    return part._replace(box=(box[0], box[1], box[2]))
