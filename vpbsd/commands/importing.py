"""Import npz, HDF5, NIfTI, NRRD, TIFF, OME-Zarr or folders of TIFF slices as OME-Zarr volumes.

vpbsd import scans/*.tif data --spacing 3 1.6 1.6
vpbsd import scans data --table volumes.csv
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable

from vpbsd.cli import command_parser
from vpbsd.data.intake.importing import Rules, import_volumes
from vpbsd.data.intake.stack import NAMES, Choice
from vpbsd.data.intake.table import COLUMNS, parse_spacing
from vpbsd.data.volumes import VESSEL
from vpbsd.errors import BadInput


def main() -> None:
    """Imports what the command line names."""
    for library in ("tifffile", "nibabel.global"):  # what matters of it is refused by name
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
    parser = command_parser("import", __doc__)
    add_import_arguments(parser)
    run_import(parser.parse_args())


def add_import_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``vpbsd import`` to a parser."""
    add = parser.add_argument
    add("sources", nargs="+", metavar="SRC", help="files, folders of slices, or a folder of those")
    add("dest", metavar="DEST", help="data folder that the volumes are added to")
    add("--spacing", nargs="+", metavar="Z Y X", help="voxel size in um, or the word unknown")
    add(
        "--group",
        help="animal or acquisition of all sources (default: each name without channel and tile)",
    )
    add("--group-from", metavar="REGEX", help="finds it in each name, or in its folders")
    add("--channel", help="the stain, such as WGA")
    add("--table", help=f"CSV with the columns {', '.join(COLUMNS)}; it overrides these options")
    add("--label-above", type=float, metavar="T", help="label voxels above T are vessels")
    add("--classes", metavar="A,B", help="names of the label's values 1, 2, ... (default vessel)")
    add("--take", nargs="+", metavar="c=0", help="channel c, time t or position p of several")
    add("--dataset", metavar="NAME", help="the image among a file's named arrays")
    add("--label-dataset", metavar="NAME", help="the label among them")
    add("--axes", choices=("zyx", "xyz"), default="zyx", help="order of a file's named arrays")
    add("--ignore-grids", action="store_true", help="labels fit, whatever their headers say")
    add("--masks-are-images", action="store_true", help="import volumes of two values as images")
    add("--replace", action="store_true", help="replace volumes of the same name that differ")


def run_import(args: argparse.Namespace) -> None:
    """Runs the import that the command line describes."""
    import_volumes(
        args.sources,
        args.dest,
        spacing=None if args.spacing is None else parse_spacing(" ".join(args.spacing)),
        group=args.group,
        channel=args.channel,
        table=args.table,
        label_above=args.label_above,
        rules=Rules(
            choice=Choice(_taken(args.take or ()), args.dataset, args.label_dataset, args.axes),
            group_from=args.group_from,
            ignore_grids=args.ignore_grids,
            masks_are_images=args.masks_are_images,
            replace=args.replace,
            classes=tuple(args.classes.split(",")) if args.classes else VESSEL,
        ),
    )


def _taken(words: Iterable[str]) -> dict[str, int]:
    """Reads ``c=0 t=3``.

    Raises:
        BadInput: An axis is unknown, or its index is no number.
    """
    taken = {}
    for word in words:
        axis, _, index = word.partition("=")
        if axis not in NAMES or not (index.isascii() and index.isdigit()):
            raise BadInput(f"--take {word}: give c=N (channel), t=N (time) or p=N (position)")
        taken[axis] = int(index)
    return taken
