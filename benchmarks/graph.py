"""Times a graph of a mask against scikit-image's skeleton, scipy's distances and skan's table.

    python benchmarks/graph.py --size 128 256 256

Both start from a mask in memory and end with a table of segments with lengths and radii; runs take
turns, medians are printed, by the clock and of processor time, which other work on the machine
does not stretch. The other side holds the whole volume at once and prunes nothing; ours goes
through blocks, fills holes, prunes, smooths, and verifies that the answer is the whole volume's.
Needs `pip install skan`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from math import prod
from statistics import median

import numpy as np
import skan
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from skimage.morphology import skeletonize

from vpbsd.data.boxes import blocks
from vpbsd.data.phantom import phantom
from vpbsd.graphs.block import skeletonise
from vpbsd.graphs.graph import MIN_LENGTH_UM
from vpbsd.graphs.lines import Lines
from vpbsd.graphs.network import assemble, joined
from vpbsd.graphs.pieces import trace
from vpbsd.graphs.pruning import Pruning

Mask = NDArray[np.bool_]
Shape = tuple[int, int, int]
SPACING = (3.0, 1.625, 1.625)
CLOCKS = {"clock": time.perf_counter, "processor": time.process_time}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=3, default=(64, 192, 192), metavar="N")
    parser.add_argument("--side", type=int, default=256, help="of a block")
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    size: Shape = (args.size[0], args.size[1], args.size[2])
    mask = phantom(3, size)[1] > 0
    sides: dict[str, Callable[[], tuple[int, float]]] = {
        "ours": lambda: ours(mask, size, args.side),
        "scikit-image and skan": lambda: plainly(mask),
    }
    seconds: dict[str, list[tuple[float, ...]]] = {name: [] for name in sides}
    found: dict[str, tuple[int, float]] = {}
    for _ in range(args.runs):
        for name, run in sides.items():
            began = [clock() for clock in CLOCKS.values()]
            found[name] = run()
            ended = [clock() for clock in CLOCKS.values()]
            seconds[name].append(tuple(b - a for a, b in zip(began, ended, strict=True)))
    print(f"mask of {size}, {mask.mean():.1%} vessel; medians of {args.runs}")
    for i, clock in enumerate(CLOCKS):
        a, b = (median(run[i] for run in seconds[name]) for name in sides)
        rates = [prod(size) / t / 1e6 for t in (a, b)]
        print(f"{clock:9s} ours {rates[0]:.2f}, theirs {rates[1]:.2f} Mvoxel/s, ratio {b / a:.2f}")
    for name, (segments, length) in found.items():
        print(f"{name:22s} {segments} segments, {length:.2f} mm")


def ours(mask: Mask, size: Shape, side: int) -> tuple[int, float]:
    pieces = [
        trace(skeletonise(lambda box: mask[box], size, SPACING, block), size)
        for block in blocks(size, side)
    ]
    network = assemble(joined(pieces), size)
    lines = Lines(network, size, SPACING)
    pruned = Pruning(network, lines, MIN_LENGTH_UM).run()
    rows = [(line.length_um, line.mean_radius_um) for line in map(lines.line, pruned.paths)]
    return len(rows), sum(length for length, _ in rows) / 1000


def plainly(mask: Mask) -> tuple[int, float]:
    radius = distance_transform_edt(mask, SPACING)
    thin = skeletonize(mask) > 0
    skeleton = skan.Skeleton(radius * thin, spacing=SPACING)
    table = skan.summarize(skeleton, separator="-")
    return len(table), float(table["branch-distance"].sum()) / 1000


if __name__ == "__main__":
    main()
