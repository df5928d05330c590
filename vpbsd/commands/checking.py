"""Check a data folder: volumes, groups, voxel sizes, labels, and the folds a sweep would make.

vpbsd check data
vpbsd check data --preset paper --split space
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from math import prod

from vpbsd.cli import command_parser
from vpbsd.commands.listing import line
from vpbsd.data.folds import Fold, Part, make_folds
from vpbsd.data.volumes import VolumeInfo, check_intensity, list_volumes
from vpbsd.errors import BadInput
from vpbsd.overrides import nearest, override
from vpbsd.settings import PRESETS, Settings


def main() -> None:
    """Prints what a sweep would find; what a sweep would refuse is refused in the same words."""
    parser = command_parser("check", __doc__)
    parser.add_argument("data", metavar="DIR", help="folder of imported volumes")
    parser.add_argument("--preset", default="laptop", metavar="NAME", help=", ".join(PRESETS))
    parser.add_argument("--folds", type=int, metavar="N", help="cross-validation folds")
    parser.add_argument("--split", metavar="group|space", help="folds of groups, or of regions")
    args = parser.parse_args()
    if args.preset not in PRESETS:
        raise BadInput(f"there is no preset '{args.preset}'{nearest(args.preset, list(PRESETS))}")
    given = {"protocol.folds": args.folds, "protocol.split": args.split}
    changes = {path: value for path, value in given.items() if value is not None}
    settings = override(PRESETS[args.preset](), changes)
    print("\n".join(check(list_volumes(args.data), settings)))


def check(volumes: tuple[VolumeInfo, ...], settings: Settings) -> Iterator[str]:
    """Yields a line per volume, group, thing to know, and fold; reads no voxels.

    Raises:
        BadInput: A sweep of these volumes under these settings could not begin.
    """
    yield from map(line, volumes)
    for group, count in sorted(Counter(v.group for v in volumes).items()):
        yield f"group {group}: {count} volumes"
    yield from _remarks(volumes, settings)
    check_intensity(volumes, settings.data)
    for fold in make_folds(volumes, settings.protocol):
        yield _fold_line(fold)


def _remarks(volumes: tuple[VolumeInfo, ...], settings: Settings) -> Iterator[str]:
    spacings = {v.spacing_um for v in volumes}
    if len(spacings) > 1:
        yield "note: the volumes have different voxel sizes, and a sweep does not resample them"
    for volume in volumes:
        if any(n < p for n, p in zip(volume.shape, settings.data.patch, strict=True)):
            yield f"note: {volume.name} is thinner than a patch and will be padded by reflection"
        if volume.label_voxels and volume.label_voxels > prod(volume.shape) / 2:
            yield f"note: more than half of {volume.name} is labelled as vessel"


def _fold_line(fold: Fold) -> str:
    return (
        f"fold {fold.index}: trains on {_names(fold.train)}; tests on {_names(fold.test)}; "
        f"pre-trains on {_names(fold.unlabelled)}"
    )


def _names(parts: Iterable[Part]) -> str:
    return ", ".join(sorted({part.volume.name for part in parts})) or "nothing"
