"""Segments a volume of any size, piece by piece, and goes on where it stopped."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from vpbsd.data.chunks import ChunkReader
from vpbsd.data.tissue import Cells, measure_volume
from vpbsd.data.volumes import SUFFIX, Spacing, Volume, VolumeInfo
from vpbsd.errors import BadInput
from vpbsd.inference.features import FeatureFolder
from vpbsd.inference.mask import LAYERS, MaskFile, alone
from vpbsd.inference.model import SegmentationModel, check_spacing, identity, load_model
from vpbsd.inference.progress import Progress
from vpbsd.inference.source import NIFTI, TIFF, export, imported
from vpbsd.inference.tiling import Tiling
from vpbsd.inference.whole import Statistics, WholeVolume
from vpbsd.inference.work import Spread, Work, here

NUMERICS = 3
"""Raised when the same model gives another mask of the same volume."""
TILING = Tiling()


def segment(
    model: str | Path,
    volume: str | Path,
    out: str | Path,
    *,
    statistics: Statistics = "volume",
    probability: bool = False,
    uncertainty: bool = False,
    spread: Spread = here,
) -> None:
    """Writes the label of a volume as a mask (uint8, numbers of classes; 0 is background).

    What an interrupted run has finished is not computed again.

    Args:
        model: A folder that `vpbsd final` wrote.
        volume: An imported volume, another OME-Zarr image, or any file or folder of slices that
            could be imported.
        out: The mask, made or continued: OME-Zarr, or TIFF or NIfTI by its name.
        statistics: Where the norms of a GroupNorm network take theirs: once from the volume's
            tissue, or in each window, as in training; windows then overlap and are blended.
        probability: Keeps the probability of any class but background (uint8, 255 = 1) as well.
        uncertainty: Keeps the entropy of the classes (uint8, 255 = all are equally likely).
        spread: Who does the work: this process, or those of `vpbsd.inference.processes.local()`.

    Raises:
        BadInput: No such model or volume, another voxel size, a lost or damaged chunk, `out` is
            something else, or it cannot be written.
    """
    model, out = Path(model), Path(out)
    layers = [n for n, kept in zip(LAYERS, (probability, uncertainty), strict=True) if kept]
    flat = out.name.endswith((*TIFF, *NIFTI))
    if flat and layers:
        raise BadInput(
            f"--{layers[0]}: {out} holds the mask alone: give an output that ends with {SUFFIX}"
        )
    if flat and out.exists():
        raise BadInput(f"{out} exists: choose another name, or delete it")
    mask = out.with_name(f".{out.name}{SUFFIX}") if flat else out
    student = load_model(model)
    try:
        with alone(out), imported(Path(volume), out) as info:
            check_voxel_size(student.data.spacing_um, info)
            what = {"fingerprint": info.fingerprint, "statistics": statistics}
            source = identity(model) | what | {"numerics": NUMERICS, "layers": layers}
            file = MaskFile(mask, info, source, TILING.side, layers)
            _complete(_seen(student, info, statistics), file, info, source, spread)
            if flat:
                export(mask, out, info)
                shutil.rmtree(mask)
    except OSError as error:
        raise BadInput(f"{out} cannot be written: {error.strerror or error}") from error
    print(f"the mask of {info.name} is in {out}", file=sys.stderr)


def _seen(student: SegmentationModel, info: VolumeInfo, statistics: Statistics) -> WholeVolume:
    """Looks at an imported volume as a student does."""
    reader = ChunkReader(opened := Volume(info))
    cells = _cells(opened, reader)
    lowest, highest = float(cells.lowest.min()), float(cells.highest.max())
    if lowest == highest:
        print(f"note: all voxels of {info.name} are {lowest:g}: it is empty", file=sys.stderr)
    seen = WholeVolume(
        student.network,
        student.data,
        reader,
        cells,
        info.name,
        usual=student.data.usual_mass,
        statistics=statistics,
        tiling=TILING,
    )
    if not seen.tissue.cells.any():
        print(f"note: {info.name} shows no tissue, but noise at most", file=sys.stderr)
    return seen


def check_voxel_size(wanted: Spacing | None, info: VolumeInfo) -> None:
    """Refuses a volume of another voxel size than that of the training volumes.

    Raises:
        BadInput: Both are known and differ by more than a fiftieth on some axis.
    """
    check_spacing(wanted, info.spacing_um, f"volume {info.name}")


def _cells(volume: Volume, reader: ChunkReader) -> Cells:
    """Reads what was kept of the volume's cells at import; an older volume is read for it once."""
    if volume.cells is not None:
        return Cells(*np.asarray(volume.cells[:], np.float32))
    print(f"looking for the tissue of {volume.info.name} (an older import)", file=sys.stderr)
    return measure_volume(reader.image_block, reader.shape)


def _complete(
    seen: WholeVolume, file: MaskFile, info: VolumeInfo, source: dict[str, Any], spread: Spread
) -> None:
    """Computes all blocks that are not finished."""
    left = [block for block in seen.tiling.blocks(info.shape) if not file.finished(block)]
    for block in left:
        if not seen.tissue.touches(block):
            file.write_empty(block)
    wanted = [block for block in left if seen.tissue.touches(block)]
    place = file.path.with_name(f".{file.path.name}.features")
    if wanted:
        folder = seen.tiled and FeatureFolder(place, seen.tiled, source)
        if folder is not None:
            seen.features = folder.features
        rounds = seen.rounds(wanted, folder.holds if folder is not None else lambda piece: False)
        progress = Progress(rounds)
        with spread(Work(seen, file)) as run:
            for pieces in rounds:
                for piece, checksum in run(pieces):
                    if piece.round == "answer":
                        file.commit(piece.box, checksum)
                    progress.tell(piece)
    file.write_levels()
    shutil.rmtree(place, ignore_errors=True)
