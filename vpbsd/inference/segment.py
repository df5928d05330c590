"""Segments a volume of any size, piece by piece, and goes on where it stopped."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from vpbsd.config import Grid
from vpbsd.data.chunks import ChunkReader
from vpbsd.data.tissue import Cells, measure_volume
from vpbsd.data.volumes import SUFFIX, Spacing, Volume, VolumeInfo
from vpbsd.errors import BadInput
from vpbsd.inference.features import FeatureFolder
from vpbsd.inference.mask import LAYERS, MaskFile, alone, is_mask_of
from vpbsd.inference.model import SegmentationModel, alike, check_spacing, identity, load_model
from vpbsd.inference.progress import Progress
from vpbsd.inference.resampling import ResampledImage, resampled_info, write_back
from vpbsd.inference.source import NIFTI, TIFF, export, imported, stated_voxel_size
from vpbsd.inference.tiling import Tiling
from vpbsd.inference.whole import Statistics, WholeVolume
from vpbsd.inference.work import Spread, Work, here

NUMERICS = 4
"""Raised when the same model gives another mask of the same volume."""
TILING = Tiling()


def segment(  # noqa: PLR0913 (each is an option of the command)
    model: str | Path,
    volume: str | Path,
    out: str | Path,
    *,
    statistics: Statistics = "volume",
    probability: bool = False,
    uncertainty: bool = False,
    resample: bool = False,
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
        resample: A volume of another voxel size than the model's is resampled to that, and the
            mask of it back.
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
    if resample and layers and _classes(student) > 1:
        raise BadInput(
            f"--{layers[0]} of several classes is not kept with --resample: leave one of them out"
        )
    other = other_voxel_size(student.data.spacing_um, Path(volume), resample=resample)
    try:
        with alone(out), imported(Path(volume), out) as info:
            what = {"fingerprint": info.fingerprint, "statistics": statistics, "layers": layers}
            source = identity(model) | what | {"numerics": NUMERICS}
            file = MaskFile(mask, info, source, TILING.side, layers)
            if other is None:
                reader = ChunkReader(Volume(info))
                seen = _seen(student, info, reader, statistics)
                _complete(seen, file, source, spread, _beside(file, "features"))
            elif file.left():
                _through(student, info, other, file, source, statistics, spread)
            file.write_levels()
            for name in ("features", "resampled"):
                shutil.rmtree(_beside(file, name), ignore_errors=True)
            if flat:
                export(mask, out, info)
                shutil.rmtree(mask)
    except OSError as error:
        raise BadInput(f"{out} cannot be written: {error.strerror or error}") from error
    print(f"the mask of {info.name} is in {out}", file=sys.stderr)


def _seen(
    student: SegmentationModel,
    info: VolumeInfo,
    image: ChunkReader | ResampledImage,
    statistics: Statistics,
) -> WholeVolume:
    """Looks at an imported volume as a student does."""
    cells = _cells(info, image)
    lowest, highest = float(cells.lowest.min()), float(cells.highest.max())
    if lowest == highest:
        print(f"note: all voxels of {info.name} are {lowest:g}: it is empty", file=sys.stderr)
    seen = WholeVolume(
        student.network,
        student.data,
        image,
        cells,
        info.name,
        usual=student.data.usual_mass,
        statistics=statistics,
        tiling=TILING,
    )
    if not seen.tissue.cells.any():
        print(f"note: {info.name} shows no tissue, but noise at most", file=sys.stderr)
    return seen


def _cells(info: VolumeInfo, image: ChunkReader | ResampledImage) -> Cells:
    """Reads what was kept of the volume's cells at import; without, all is read for it once."""
    if isinstance(image, ChunkReader):
        kept = Volume(info).cells
        if kept is not None:
            return Cells(*np.asarray(kept[:], np.float32))
        print(f"looking for the tissue of {info.name} (an older import)", file=sys.stderr)
    return measure_volume(image.image_block, image.shape)


def other_voxel_size(wanted: Spacing | None, volume: Path, *, resample: bool) -> Spacing | None:
    """Finds the voxel size that a volume is to be resampled to; None where there is no need.

    It reads headers: what has to be imported first is refused before that.

    Raises:
        BadInput: Sizes differ by more than a fiftieth on some axis, and it is not to be resampled;
            or it is, and one of them is not known.
    """
    given, name = stated_voxel_size(volume), f"volume {volume.name.removesuffix(SUFFIX)}"
    if wanted is None or given is None:
        if resample:
            whose = "the model's training volumes" if wanted is None else name
            raise BadInput(
                f"--resample: the voxel size of {whose} is not known: import with --spacing, or "
                "leave the option out"
            )
        return None
    if alike(wanted, given):
        return None
    if not resample:
        remedy = "pass --resample to segment it at that size"
        check_spacing(wanted, given, name, remedy)
    return wanted


def _through(
    student: SegmentationModel,
    info: VolumeInfo,
    spacing: Spacing,
    file: MaskFile,
    source: dict[str, Any],
    statistics: Statistics,
    spread: Spread,
) -> None:
    """Segments a volume at another voxel size, and writes its mask back on its own grid."""
    at = resampled_info(info, spacing)
    place = _beside(file, "resampled")
    if place.exists() and not is_mask_of(place, source):
        shutil.rmtree(place)  # of another run to this very place, which its mask knows no more
    between = MaskFile(place, at, source, TILING.side, ["probability"])
    if between.left():
        print(f"resampling {info.name} to {at.shape} voxels", file=sys.stderr)
        steps = _ratio(info.shape, at.shape)
        image = ResampledImage(ChunkReader(Volume(info)), steps, at.shape, info.dtype)
        seen = _seen(student, at, image, statistics)
        _complete(seen, between, source, spread, _beside(file, "features"))
    write_back(between, file, _ratio(at.shape, info.shape), _classes(student))


def _classes(student: SegmentationModel) -> int:
    head = getattr(student.network, "head", None)
    return 1 if head is None else int(head.out_channels) - 1


def _beside(file: MaskFile, what: str) -> Path:
    """Gives the place of a folder that is there only until the mask is whole."""
    return file.path.with_name(f".{file.path.name}.{what}")


def _ratio(shape: Grid, other: Grid) -> tuple[float, float, float]:
    z, y, x = (n / m for n, m in zip(shape, other, strict=True))
    return z, y, x


def _complete(
    seen: WholeVolume, file: MaskFile, source: dict[str, Any], spread: Spread, place: Path
) -> None:
    """Computes all blocks that are not finished; features are put in a place of their own."""
    left = file.left()
    for block in left:
        if not seen.tissue.touches(block):
            file.write_empty(block)
    wanted = [block for block in left if seen.tissue.touches(block)]
    if wanted:
        if seen.tiled is None:
            rounds = seen.rounds(wanted)
        else:
            folder = FeatureFolder(place, seen.tiled, source)
            seen.features, rounds = folder.features, seen.rounds(wanted, folder.holds)
        progress = Progress(rounds)
        who = spread if len(wanted) > 1 else here  # to start a process takes seconds
        with who(Work(seen, file)) as run:
            for pieces in rounds:
                for piece, checksum in run(pieces):
                    if piece.round == "answer":
                        file.commit(piece.box, checksum)
                    progress.tell(piece)
