"""Peak memory of `vpbsd segment` on a generated volume, and on one eight times larger.

    python -m benchmarks.memory                      # 2 volumes, some minutes
    python -m benchmarks.memory --side 1280 --once   # one of 2.1 gigavoxels

Tissue with tubes fills the given share of each volume, a slab in the middle; the rest is zeros, as
around a brain. Import and segmentation are processes of their own; with several workers as many
peaks as the largest of them had are added. $TMPDIR says where the volumes are put.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vpbsd.config import Data, LightNet
from vpbsd.data.volume_checks import VolumeMetadata
from vpbsd.data.volume_writer import write_volume
from vpbsd.inference.model import write_settings
from vpbsd.networks.build import save_network

PATCH = (32, 64, 64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=384, help="of the smaller cube")
    parser.add_argument("--share", type=float, default=0.25, help="of tissue, along z")
    parser.add_argument("--once", action="store_true", help="no larger volume")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(Path(given.work[0]), Path(given.work[1]), given)
        return
    peaks = []
    for side in (given.side,) if given.once else (given.side, 2 * given.side):
        with tempfile.TemporaryDirectory() as room:
            peaks.append(measured(Path(room), side, given))
    if len(peaks) > 1:
        print(f"8 times the voxels, {peaks[1] / peaks[0]:.2f} times the memory")


def measured(room: Path, side: int, given: argparse.Namespace) -> float:
    """Imports and segments one volume; returns the peak of the segmentation in GB."""
    model(room)
    peaks = {}
    for step in ("import", "segment"):
        words = [
            sys.executable,
            "-m",
            "benchmarks.memory",
            "--work",
            str(room),
            step,
            "--side",
            str(side),
        ]
        words += ["--share", str(given.share), "--workers", str(given.workers)]
        began = time.monotonic()
        found = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
        peaks[step] = float(found.split()[-1])
        spent = time.monotonic() - began
        rate = side**3 / spent / 1e6
        print(f"{side}^3 voxels, {step}: {peaks[step]:.2f} GB, {rate:.1f} M voxels/s", flush=True)
    return peaks["segment"]


def model(room: Path) -> None:
    """Writes untrained weights that have seen noise."""
    from benchmarks.inference import untrained

    (room / "model").mkdir()
    save_network(room / "model", untrained(), LightNet(norm="batch"))
    write_settings(room / "model", Data(patch=PATCH))


def work(room: Path, step: Path, given: argparse.Namespace) -> None:
    """Does one step and prints the peak of this process and of its workers."""
    if step.name == "import":
        shape = (given.side,) * 3
        metadata = VolumeMetadata(shape, "uint16", None, "generated")
        write_volume(room, "v", planes(given.side, given.share), metadata)
    else:
        from vpbsd.inference.processes import local
        from vpbsd.inference.segment import segment

        spread = local(given.workers)
        segment(room / "model", room / "v.ome.zarr", room / "mask.ome.zarr", spread=spread)
    own, largest = (
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print((own + (given.workers * largest if given.workers > 1 else 0)) * 1024 / 1e9)


def planes(side: int, share: float) -> Iterator[NDArray[np.uint16]]:
    """Yields planes of zeros and, in the middle, of tissue with tubes along z and camera noise."""
    rng = np.random.default_rng(0)
    y, x = np.indices((side, side), np.float32)
    tubes = np.hypot(y % 24 - 12, x % 24 - 12) < 4
    noise = [rng.normal(300, 20, (side, side)).astype(np.float32) for _ in range(8)]
    for z in range(side):
        if abs(z / side - 0.5) > share / 2:
            yield np.zeros((1, side, side), np.uint16)
        else:
            yield (noise[z % 8] + 600 * tubes).astype(np.uint16)[None]


if __name__ == "__main__":
    main()
