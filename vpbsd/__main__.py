"""`python -m vpbsd`: import volumes, list them, segment them with a trained student."""

from __future__ import annotations

import argparse
from pathlib import Path

from vpbsd.cli import Parser, run_main
from vpbsd.data.importers import add_import_arguments, run_import
from vpbsd.data.volumes import list_volumes


def main() -> int:
    """Picks the command."""
    parser = Parser(prog="python -m vpbsd", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    importing = commands.add_parser(
        "import", help="npz, NIfTI, TIFF files and folders of TIFF slices -> OME-Zarr volumes"
    )
    add_import_arguments(importing)
    importing.set_defaults(run=run_import)
    listing = commands.add_parser("list", help="the volumes of a data folder")
    listing.add_argument("data", metavar="DIR")
    listing.set_defaults(run=run_list)
    segmenting = commands.add_parser("segment", help="a volume -> its vessels")
    segmenting.add_argument("model", metavar="MODEL", help="folder written by sweeps/final.py")
    segmenting.add_argument("volume", metavar="IN", help="an imported volume (.ome.zarr)")
    segmenting.add_argument("out", metavar="OUT", help="the mask to write (.ome.zarr)")
    segmenting.set_defaults(run=run_segment)
    args = parser.parse_args()
    args.run(args)
    return 0


def run_list(args: argparse.Namespace) -> None:
    """One line per volume."""
    for info in list_volumes(args.data):
        size = "x".join(map(str, info.shape))
        spacing = "x".join(f"{s:g}" for s in info.spacing_um) + " um" if info.spacing_um else "?"
        label = f"label ({info.label_voxels} vessel voxels)" if info.labelled else "no label"
        print(f"{info.name}  group {info.group}  {size}  {spacing}  {label}")


def run_segment(args: argparse.Namespace) -> None:
    """Segments one volume."""
    from vpbsd.inference.segment import segment  # torch loads only where it is needed

    segment(Path(args.model), Path(args.volume), Path(args.out))


if __name__ == "__main__":
    run_main(main)
