"""Makes the graph of a mask of any size: block by block, then joined, pruned and written."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpbsd.data.boxes import blocks
from vpbsd.data.volumes import Slices, Spacing, Volume, triple
from vpbsd.errors import BadInput
from vpbsd.graphs.block import HOLE, WIDEST, skeletonise
from vpbsd.graphs.lines import Lines
from vpbsd.graphs.look import draw_look, window
from vpbsd.graphs.network import assemble, joined
from vpbsd.graphs.pieces import trace
from vpbsd.graphs.pruning import Pruning
from vpbsd.graphs.source import MaskVolume, opened_mask
from vpbsd.graphs.summary import summarise
from vpbsd.graphs.tables import read_parquet, write_tables
from vpbsd.graphs.vtk import write_vtu
from vpbsd.graphs.workers import MEMORY, each
from vpbsd.graphs.workplace import Workplace, load_blocks, save_block
from vpbsd.inference.machine import room
from vpbsd.inference.mask import alone
from vpbsd.inference.source import imported

NUMERICS = 1
"""Raised when the same mask gives another graph."""
SIDE = 256
"""Of a block, without what is read around it: as the blocks of masks that `segment` writes."""
MIN_LENGTH_UM = 10.0
NEEDED = {
    "edt": "edt",
    "cc3d": "connected-components-3d",
    "meshio": "meshio",
    "pyarrow": "pyarrow",
}


def graph(
    mask: str | Path,
    out: str | Path,
    *,
    spacing_um: Spacing | None = None,
    min_length_um: float = MIN_LENGTH_UM,
    workers: int | None = None,
    side: int = SIDE,
    image: str | Path | None = None,
) -> dict[str, Any]:
    """Writes the graph of a mask as a folder: tables, VTK lines, a picture, and a summary.

    Blocks that an interrupted run has finished are not computed again.

    Args:
        mask: See `opened_mask`.
        out: The folder, made or continued.
        spacing_um: Voxel size along z, y, x where the mask states none.
        min_length_um: Spurs and components shorter than this are left out.
        workers: Processes; None: one per core, as many as there is memory for.
        side: Of a block; the result does not depend on it.
        image: What the mask was made of, for the picture; None: the mask is shown.

    Returns:
        The summary.

    Raises:
        BadInput: No such mask, no voxel size, a package is missing, or `out` is something else.
    """
    check_installed()
    out = Path(out)
    if side <= HOLE:
        raise BadInput(f"blocks of {side} voxels are too small: give more than {HOLE}")
    if not 0 < min_length_um < float("inf"):
        raise BadInput(f"--min-length {min_length_um:g}: give micrometres above 0")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with (
            alone(out),
            opened_mask(Path(mask), out, None if spacing_um else "--spacing") as volume,
            _background(image, volume, out) as behind,
        ):
            spacing = voxel_size(volume, spacing_um)
            source = {
                "mask": volume.identity,
                "spacing_um": list(spacing),
                "min_length_um": min_length_um,
                "numerics": NUMERICS,
            }
            work = Workplace(out, source | {"side": side})
            if not work.whole:
                _blocks_computed(volume, spacing, work, workers, side)
                summary = _joined(volume, spacing, work, min_length_um, out)
                _draw(behind, volume, spacing, out)
                work.finish(summary)
            elif image is not None:
                _draw(behind, volume, spacing, out)
            return work.summary()
    except OSError as error:
        raise BadInput(unreadable(error, out)) from error


def unreadable(error: OSError, out: Path) -> str:
    """Says which file could not be read or written; the output where the error names none."""
    return f"{error.filename or out} cannot be read or written: {error.strerror or error}"


def check_installed() -> None:
    """Looks for the packages of the extra.

    Raises:
        BadInput: One is missing.
    """
    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if missing:
        raise BadInput(f"graphs need {', '.join(missing)}: pip install 'vpbsd[graph]'")


def voxel_size(volume: MaskVolume, given: Spacing | None) -> Spacing:
    """Finds the voxel size of a mask; what is given goes before what it states.

    Raises:
        BadInput: There is none, or it is not positive.
    """
    spacing = given or volume.spacing_um
    if spacing is None:
        raise BadInput(f"{volume.name} states no voxel size: give --spacing Z Y X in micrometres")
    if not all(0 < side < float("inf") for side in spacing):
        raise BadInput(f"voxel size {spacing} is not positive: give micrometres")
    return triple(float(side) for side in spacing)


def _blocks_computed(
    volume: MaskVolume, spacing: Spacing, work: Workplace, workers: int | None, side: int
) -> None:
    every = blocks(volume.shape, side)
    left = [block for block in every if not work.finished(block)]
    finished = before = len(every) - len(left)
    began = time.monotonic()
    tasks = [(volume, spacing, block, work.place(block)) for block in left]
    for _ in each(_compute, tasks, min(workers or room(MEMORY), len(tasks))):
        finished += 1
        rest = (time.monotonic() - began) / (finished - before) * (len(every) - finished)
        print(f"block {finished}/{len(every)}, about {rest:.0f} s left", file=sys.stderr)


def _compute(task: tuple[MaskVolume, Spacing, Slices, Path]) -> None:
    """Finds the centre lines of a block, and stores them."""
    volume, spacing, block, place = task
    volume.check(block)
    skeleton = skeletonise(volume.read, volume.shape, spacing, block)
    save_block(place, skeleton, trace(skeleton, volume.shape))


def _joined(
    volume: MaskVolume, spacing: Spacing, work: Workplace, least: float, out: Path
) -> dict[str, Any]:
    """Writes the tables; returns the summary."""
    print("joining the blocks", file=sys.stderr)
    parts = load_blocks(work.places())
    network = assemble(joined([pieces for pieces, _ in parts]), volume.shape)
    vessel, left_out, doubtful = (sum(each) for each in zip(*(n for _, n in parts), strict=True))
    lines = Lines(network, volume.shape, spacing)
    pruned = Pruning(network, lines, least).run()
    place = network.nodes.place
    at_face = np.any((place < 1) | (place > np.array(volume.shape) - 2), axis=1)
    segments, nodes = write_tables(out, network, lines, pruned, at_face)
    if write_vtu(out, segments) is None and len(segments["points"]):
        print("note: graph.vtu is left out, the graph is too large for it", file=sys.stderr)
    if left_out or doubtful:
        print(
            f"note: {left_out} voxels are left out, and {doubtful} of the lines are in doubt: "
            f"vessel is so thick there that {WIDEST} voxels around a block do not tell where its "
            "centre lies, or its radius",
            file=sys.stderr,
        )
    summary = summarise(segments, nodes, vessel, volume.shape, spacing)
    summary |= {"spurs_removed": pruned.spurs, "specks_removed": pruned.specks}
    return summary | {"voxels_left_out": left_out, "voxels_in_doubt": doubtful}


def _draw(
    behind: Callable[[Slices], NDArray[Any]], volume: MaskVolume, spacing: Spacing, out: Path
) -> None:
    box = window(volume.shape, spacing)
    draw_look(behind(box), box, spacing, read_parquet(out / "nodes.parquet"), out)


@contextmanager
def _background(
    image: str | Path | None, volume: MaskVolume, out: Path
) -> Iterator[Callable[[Slices], NDArray[Any]]]:
    """Opens what is behind the graph in its picture: an image, or the mask.

    Raises:
        BadInput: The image is of another shape.
    """
    if image is None:
        yield volume.read
        return
    with imported(Path(image), out.with_name(f"{out.name}.image")) as info:
        if info.shape != volume.shape:
            raise BadInput(
                f"{info.name} is {info.shape}, but the mask is {volume.shape}: give its"
            )
        yield Volume(info).image_block
