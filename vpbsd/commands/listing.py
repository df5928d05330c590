"""List the volumes of a data folder: group, stain, size, voxel size, label.

vpbsd list data
"""

from __future__ import annotations

from math import prod

from vpbsd.cli import command_parser
from vpbsd.data.volumes import VolumeInfo, list_volumes


def main() -> None:
    """Prints a line per volume."""
    parser = command_parser("list", __doc__)
    parser.add_argument("data", metavar="DIR", help="folder of imported volumes")
    for info in list_volumes(parser.parse_args().data):
        print(line(info))


def line(info: VolumeInfo) -> str:
    """Renders a volume in one line."""
    size = "x".join(map(str, info.shape))
    spacing = "x".join(f"{s:g}" for s in info.spacing_um) + " um" if info.spacing_um else "?"
    label = "no label"
    if info.label_voxels is not None:
        share = 100 * info.label_voxels / prod(info.shape)
        label = f"label ({info.label_voxels} {' and '.join(info.classes)} voxels, {share:.1f} %)"
    stain = f"  {info.channel}" if info.channel else ""
    return f"{info.name}  group {info.group}{stain}  {size}  {spacing}  {label}"
