"""Measure vessels by region of an atlas: volume, length, branch points, radii.

vpbsd regions mask.ome.zarr registered_atlas.tiff OUT --atlas-spacing 25 25 25
vpbsd regions vessels.nii.gz atlas.nii.gz OUT --graph vessels_graph --names structures.csv
"""

from __future__ import annotations

from pathlib import Path

from vpbsd.cli import add_voxel_size, add_workers, command_parser


def main() -> None:
    """Writes one table of regions."""
    parser = command_parser("regions", __doc__)
    parser.add_argument("mask", type=Path, metavar="MASK", help="mask: OME-Zarr, or a file")
    parser.add_argument("atlas", type=Path, metavar="ATLAS", help="label image in its space")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for tables and plot")
    parser.add_argument(
        "--graph", type=Path, metavar="DIR", help="the mask's graph (default: made in OUT/graph)"
    )
    parser.add_argument("--names", type=Path, metavar="CSV", help="names: columns id and name")
    add_voxel_size(parser, "--spacing", "the mask")
    add_voxel_size(parser, "--atlas-spacing", "the atlas")
    add_workers(parser, "processes (default: one on each core, as memory allows)")
    args = parser.parse_args()
    from vpbsd.graphs.regions import regions

    table = regions(
        args.mask,
        args.atlas,
        args.out,
        graph_folder=args.graph,
        names=args.names,
        spacing_um=args.spacing and tuple(args.spacing),
        atlas_um=args.atlas_spacing and tuple(args.atlas_spacing),
        workers=args.workers,
    )
    print(f"{len(table['id'])} regions are in {args.out / 'regions.csv'}")
