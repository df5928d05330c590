"""Segments a volume of any size, region by region, and goes on where it stopped."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vpbsd.data.chunks import ChunkReader
from vpbsd.data.tissue import Cells, measure_volume
from vpbsd.data.volumes import SUFFIX, Slices, Spacing, Volume, VolumeInfo
from vpbsd.errors import BadInput
from vpbsd.inference.mask import MaskFile, alone
from vpbsd.inference.model import SegmentationModel, identity, load_model
from vpbsd.inference.sliding_window import label_of
from vpbsd.inference.source import NIFTI, TIFF, export, imported
from vpbsd.inference.tiling import Tiling
from vpbsd.inference.whole import Statistics, WholeVolume

NUMERICS = 2
"""Raised when the same model gives another mask of the same volume."""
TILING = Tiling()
SIMILAR = 0.02
"""Share by which voxel sizes may differ and be called the same."""


def segment(
    model: str | Path,
    volume: str | Path,
    out: str | Path,
    *,
    statistics: Statistics = "volume",
    probability: bool = False,
) -> None:
    """Writes the label of a volume as a mask (uint8, numbers of classes; 0 is background).

    Blocks that an interrupted run has finished are not computed again.

    Args:
        model: A folder that `vpbsd final` wrote.
        volume: An imported volume, another OME-Zarr image, or any file or folder of slices that
            could be imported.
        out: The mask, made or continued: OME-Zarr, or TIFF or NIfTI by its name.
        statistics: Where the norms of a GroupNorm network take theirs: once from the volume's
            tissue, or in each window, as in training; windows then overlap and are blended.
        probability: Keeps the probability of any class but background (uint8, 255 = 1) as well.

    Raises:
        BadInput: No such model or volume, another voxel size, a lost or damaged chunk, `out` is
            something else, or it cannot be written.
    """
    model, out = Path(model), Path(out)
    flat = out.name.endswith((*TIFF, *NIFTI))
    if flat and probability:
        raise BadInput(
            f"--probability: {out} holds the mask alone: give an output that ends with {SUFFIX}"
        )
    if flat and out.exists():
        raise BadInput(f"{out} exists: choose another name, or delete it")
    mask = out.with_name(f".{out.name}{SUFFIX}") if flat else out
    student = load_model(model, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    try:
        with alone(out), imported(Path(volume), out) as info:
            check_voxel_size(student.data.spacing_um, info)
            _segment(student, identity(model), info, mask, statistics, probability)
            if flat:
                export(mask, out, info)
                shutil.rmtree(mask)
    except OSError as error:
        raise BadInput(f"{out} cannot be written: {error.strerror or error}") from error
    print(f"the mask of {info.name} is in {out}", file=sys.stderr)


def _segment(
    student: SegmentationModel,
    model: dict[str, Any],
    info: VolumeInfo,
    out: Path,
    statistics: Statistics,
    probability: bool,
) -> None:
    """Writes or continues the OME-Zarr mask of an imported volume."""
    reader = ChunkReader(opened := Volume(info))
    what = {"fingerprint": info.fingerprint, "statistics": statistics, "numerics": NUMERICS}
    what |= {"probability": probability}  # else one begun without would have none in its blocks
    file = MaskFile(out, info, model | what, TILING.side, probability)
    cells = _cells(opened, reader)
    _tell_constant(cells, info)
    run = WholeVolume(
        student.network,
        student.data,
        reader,
        cells,
        info.name,
        usual=student.data.usual_mass,
        statistics=statistics,
        tiling=TILING,
    )
    _compute(run, file, info)
    file.write_levels()


def check_voxel_size(wanted: Spacing | None, info: VolumeInfo) -> None:
    """Refuses a volume of another voxel size than that of the training volumes.

    Raises:
        BadInput: Both are known and differ by more than a fiftieth on some axis.
    """
    if wanted is None or info.spacing_um is None:
        return
    if any(abs(a / b - 1) > SIMILAR for a, b in zip(info.spacing_um, wanted, strict=True)):
        there, here = (" x ".join(f"{s:g}" for s in x) for x in (info.spacing_um, wanted))
        raise BadInput(
            f"volume {info.name} has voxels of {there} um, but the model was trained at {here} "
            "um: things look different to it; resample the volume, and import it again"
        )


def _cells(volume: Volume, reader: ChunkReader) -> Cells:
    """Reads what was kept of the volume's cells at import; an older volume is read for it once."""
    if volume.cells is not None:
        return Cells(*np.asarray(volume.cells[:], np.float32))
    print(f"looking for the tissue of {volume.info.name} (an older import)", file=sys.stderr)
    return measure_volume(reader.image_block, reader.shape)


def _tell_constant(cells: Cells, info: VolumeInfo) -> None:
    lowest, highest = float(cells.lowest.min()), float(cells.highest.max())
    if lowest == highest:
        print(f"note: all voxels of {info.name} are {lowest:g}: it is empty", file=sys.stderr)


def _compute(run: WholeVolume, file: MaskFile, info: VolumeInfo) -> None:
    """Computes all blocks that are not finished."""
    if not run.tissue.cells.any():
        print(f"note: {info.name} shows no tissue, but noise at most", file=sys.stderr)
    regions = run.tiling.regions(info.shape)
    count = sum(len(run.tiling.blocks(region)) for region in regions)
    finished = computed = 0
    began = time.monotonic()
    for region in regions:
        left = {_first(b): b for b in run.tiling.blocks(region) if not file.finished(b)}
        finished += len(run.tiling.blocks(region)) - len(left)
        for key in [key for key, block in left.items() if not run.tissue.touches(block)]:
            empty = np.zeros([b.stop - b.start for b in left[key]], np.uint8)
            file.write(left.pop(key), empty, empty)
            finished += 1
        for block, probability in run.probabilities(region, lambda b: _first(b) in left):  # noqa: B023
            anything = probability if probability.ndim == 3 else probability.sum(0)
            file.write(block, label_of(probability), anything)
            finished, computed = finished + 1, computed + 1
            rest = (time.monotonic() - began) / computed * (count - finished)
            print(f"block {finished}/{count}, about {rest:.0f} s left", file=sys.stderr)


def _first(block: Slices) -> tuple[int, int, int]:
    z, y, x = (b.start for b in block)
    return z, y, x
