"""Turn a mask into a graph: centre lines, radii, branch points, lengths.

vpbsd graph mask.ome.zarr mask_graph
vpbsd graph vessels.nii.gz graph --workers 8

The same command goes on where it was stopped.
"""

from __future__ import annotations

from pathlib import Path

from vpbsd.cli import add_voxel_size, add_workers, command_parser


def main() -> None:
    """Makes one graph and prints what it comes to."""
    parser = command_parser("graph", __doc__)
    parser.add_argument("mask", type=Path, metavar="MASK", help="mask: OME-Zarr, or a file")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for tables and summary")
    add_voxel_size(parser, "--spacing", "the mask")
    parser.add_argument(
        "--min-length",
        type=float,
        default=10.0,
        metavar="UM",
        help="leave out spurs and components shorter than this (default 10)",
    )
    parser.add_argument("--image", type=Path, metavar="IN", help="show this behind the graph")
    add_workers(parser, "processes (default: one on each core, as memory allows)")
    args = parser.parse_args()
    from vpbsd.graphs.graph import graph

    summary = graph(
        args.mask,
        args.out,
        spacing_um=args.spacing and tuple(args.spacing),
        min_length_um=args.min_length,
        workers=args.workers,
        image=args.image,
    )
    for name, value in summary.items():
        if name != "source":
            print(f"{name:28s} {_shown(value)}")
    print(f"the graph is in {args.out}")


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(one)}" for name, one in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
