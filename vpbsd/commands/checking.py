"""Check a data folder: volumes, groups, voxel sizes, labels, pictures, and the folds of a sweep.

vpbsd check data
vpbsd check data --preset paper --split space
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from vpbsd.cli import command_parser
from vpbsd.commands.listing import line
from vpbsd.data.exposure import exposure
from vpbsd.data.folds import Fold, Part, make_folds
from vpbsd.data.intake.groups import doubts
from vpbsd.data.intensity import countable
from vpbsd.data.remarks import remarks
from vpbsd.data.thumbnails import MOST, draw_thumbnails
from vpbsd.data.volumes import VolumeInfo, check_intensity, list_volumes
from vpbsd.published import PROTOCOLS, settings_from
from vpbsd.settings import PRESETS, Settings


def main() -> None:
    """Prints what a sweep would find; what a sweep would refuse is refused in the same words."""
    parser = command_parser("check", __doc__)
    parser.add_argument("data", metavar="DIR", help="folder of imported volumes")
    parser.add_argument("--preset", default="laptop", metavar="NAME", help=", ".join(PRESETS))
    parser.add_argument("--protocol", metavar="NAME", help=", ".join(PROTOCOLS))
    parser.add_argument("--folds", type=int, metavar="N", help="cross-validation folds")
    parser.add_argument("--split", metavar="group|space", help="folds of groups, or of regions")
    parser.add_argument(
        "--thumbnails", metavar="PNG", help="picture of all volumes (default runs/check/DIR.png)"
    )
    args = parser.parse_args()
    given = {"protocol.folds": args.folds, "protocol.split": args.split}
    changes = {path: value for path, value in given.items() if value is not None}
    settings = settings_from(args.preset, args.protocol, changes)
    volumes = list_volumes(args.data)
    picture = Path(args.thumbnails or f"runs/check/{Path(args.data).resolve().name}.png")
    draw_thumbnails(volumes, picture)
    shown = f"the first {MOST} volumes" if len(volumes) > MOST else "all volumes"
    print(f"picture of {shown}: {picture}")
    for text in check(volumes, settings):
        print(text)


def check(volumes: tuple[VolumeInfo, ...], settings: Settings) -> Iterator[str]:
    """Yields a line per volume, group, thing to know, and fold; reads no voxels.

    Raises:
        BadInput: A sweep of these volumes under these settings could not begin.
    """
    yield from map(line, volumes)
    for group, count in sorted(Counter(v.group for v in volumes).items()):
        yield f"group {group}: {count} volume{'s' * (count > 1)}"
    yield from (f"note: {text}" for text in doubts([v.group for v in volumes], stated=False))
    for volume in volumes:
        yield from exposure(volume)
    uncounted = sorted({v.dtype for v in volumes if not countable(np.dtype(v.dtype))})
    if uncounted:
        yield (
            f"note: intensities of type {', '.join(uncounted)} are not counted, so nothing is "
            "said of volumes that are saturated or dark"
        )
    check_intensity(volumes, settings.data)
    folds = make_folds(volumes, settings.protocol)
    yield from remarks(volumes, folds, settings.data.patch)
    for fold in folds:
        yield _fold_line(fold)


def _fold_line(fold: Fold) -> str:
    return (
        f"fold {fold.index}: trains on {_names(fold.train)}; tests on {_names(fold.test)}; "
        f"pre-trains on {_names(fold.unlabelled)}"
    )


def _names(parts: Iterable[Part]) -> str:
    return ", ".join(sorted({part.volume.name for part in parts})) or "nothing"
