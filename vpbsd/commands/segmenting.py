"""Segment a volume with a trained student: a mask of its classes, 0 is background.

vpbsd segment MODEL IN.ome.zarr OUT.ome.zarr
vpbsd segment MODEL brain.tif vessels.nii.gz

It takes all GPUs of this machine, or all cores. The same command goes on where it was stopped.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from vpbsd.cli import add_workers, command_parser, invocation
from vpbsd.errors import BadInput

if TYPE_CHECKING:
    from vpbsd.inference.work import Spread

SPREADS = "vpbsd.spreads"
"""Group of entry points: functions of an address that give a `Spread`."""


def main() -> None:
    """Segments one volume."""
    parser = command_parser("segment", __doc__)
    wrote = f"folder that `{invocation('final')}` wrote"
    parser.add_argument("model", type=Path, metavar="MODEL", help=wrote.replace("%", "%%"))
    parser.add_argument("volume", type=Path, metavar="IN", help="volume: OME-Zarr, or a file")
    parser.add_argument("out", type=Path, metavar="OUT", help="mask: .ome.zarr, .tif, .nii.gz")
    parser.add_argument("--probability", action="store_true", help="keep it beside the mask")
    parser.add_argument(
        "--uncertainty",
        action="store_true",
        help="keep the entropy of the classes beside the mask",
    )
    parser.add_argument(
        "--resample",
        action="store_true",
        help="segment a volume of another voxel size at the model's, and write its mask back",
    )
    add_workers(parser, "processes (default: four on each GPU, or else one on each core)")
    parser.add_argument(
        "--statistics",
        choices=["volume", "window"],
        default="volume",
        help="norms of a GroupNorm network: once per volume (default), or per window, blended",
    )
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="a Ray cluster, HOST:PORT or auto, in place of this machine; it sees IN and OUT too",
    )
    args = parser.parse_args()
    from vpbsd.inference.segment import segment  # torch takes seconds, and --help needs none

    segment(
        args.model,
        args.volume,
        args.out,
        statistics=args.statistics,
        probability=args.probability,
        uncertainty=args.uncertainty,
        resample=args.resample,
        spread=_spread(args.workers, args.cluster),
    )


def _spread(workers: int | None, cluster: str | None) -> Spread:
    """Finds who does the work; clusters are known to another package, if it is installed."""
    if cluster is None:
        from vpbsd.inference.processes import local

        return local(workers)
    found = entry_points(group=SPREADS, name="cluster")
    if not found:
        raise BadInput("--cluster needs the package vpbsd_sweeps: install it again")
    chosen: Spread = next(iter(found)).load()(cluster)
    return chosen
