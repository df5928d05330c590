"""Writes volumes: slab by slab, checked on the way, visible once they are complete."""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec

from vpbsd.data.intensity import tabulate
from vpbsd.data.tissue import CELL, Cells, measure_cells
from vpbsd.data.volume_checks import CheckedPlanes, VolumeMetadata
from vpbsd.data.volumes import (
    AXES,
    CELLS,
    CHUNK,
    LABEL,
    PROFILE,
    SUFFIX,
    VESSEL,
    Planes,
    Shape,
    Spacing,
    VolumeInfo,
    is_ours,
    read_info,
    triple,
    volume_path,
)
from vpbsd.errors import BadInput


def write_array(
    folder: str | Path,
    name: str,
    image: NDArray[Any],
    label: NDArray[Any] | None = None,
    *,
    spacing_um: Spacing | None,
    group: str,
    channel: str | None = None,
) -> VolumeInfo:
    """Writes a volume that is in memory: image and label (z, y, x); see ``write_volume``."""
    metadata = VolumeMetadata(triple(image.shape), image.dtype.name, spacing_um, group, channel)
    return write_volume(folder, name, [image], metadata, None if label is None else [label])


def write_volume(
    folder: str | Path,
    name: str,
    image_slabs: Iterable[NDArray[Any]],
    metadata: VolumeMetadata,
    label_slabs: Iterable[NDArray[Any]] | None = None,
    label_above: float | None = None,
    *,
    replace: bool = False,
) -> VolumeInfo:
    """Writes a volume slab by slab, checks it on the way, and lets it appear once it is complete.

    Memory holds one slab, and a few megabytes; 64 planes wait on disk for their chunks to fill.

    Args:
        folder: The data set; made where missing.
        name: Of the volume.
        image_slabs: The image from z = 0 on, in slabs (any depth, y, x).
        metadata: Shape, type, voxel size, group, channel and classes.
        label_slabs: The label, likewise; its slabs may have other depths. None: no label.
        label_above: The label's voxels above this are of class 1; None: it holds the numbers of
            its classes, 0 for background.
        replace: Whether another volume of this name that this program wrote gives way.

    Returns:
        The volume, also where the same one (by fingerprint, channel, classes) was there already.

    Raises:
        BadInput: A value is not finite, image and label do not fit, the label holds no
            number of a class, or another volume of this name exists.
    """
    final = volume_path(folder, name)
    there = _there(final, replace)
    stream = CheckedPlanes(name, metadata, label_above)
    planes = stream.checked(image_slabs, label_slabs)
    if there is not None and not replace:
        deque(planes, maxlen=0)
        known = (there.fingerprint, there.channel, there.classes)
        if known != (stream.fingerprint(), metadata.channel, metadata.classes):
            raise BadInput(
                f"{final} exists and differs in {', '.join(_differences(there, stream))}: rename "
                "one of them, or pass --replace to put this one in its place"
            )
        return there
    # Hidden and renamed last: who lists the folder meanwhile sees complete volumes only.
    draft = final.parent / f".{final.name.removesuffix(SUFFIX)}.{uuid4().hex[:8]}.partial"
    try:
        _write_voxels(draft, metadata, planes, labelled=label_slabs is not None)
        _write_metadata(draft, name, stream)
        _put(draft, final)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return read_info(final)


def _there(final: Path, replace: bool) -> VolumeInfo | None:
    """Reads what is in a volume's place; refuses what this program did not write."""
    if not final.exists() or (replace and is_ours(final)):
        return None
    return read_info(final)


def _put(draft: Path, final: Path) -> None:
    """Lets a volume appear in its place; one that was there goes only once this one is whole."""
    old = draft.with_suffix(".replaced")
    if final.exists():
        final.rename(old)
    try:
        draft.rename(final)
    except BaseException:
        if old.exists():
            old.rename(final)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _differences(there: VolumeInfo, stream: CheckedPlanes) -> Iterator[str]:
    """Yields what differs between the volume in a place and the one that was to be put there."""
    metadata = stream.metadata
    found = {
        "shape": (there.shape, metadata.shape),
        "type": (there.dtype, metadata.dtype),
        "voxel size": (there.spacing_um, metadata.spacing_um),
        "group": (there.group, metadata.group),
        "channel": (there.channel, metadata.channel),
        "classes": (",".join(there.classes), ",".join(metadata.classes)),
        "label voxels": (there.label_voxels, stream.label_voxels),
    }
    different = {what: pair for what, pair in found.items() if pair[0] != pair[1]}
    for what, (old, new) in different.items():
        yield f"{what} ({_shown(old)} there, {_shown(new)} here)"
    if there.content not in (None, stream.content()):
        yield "voxels"
    elif not different:
        yield "voxels" if there.content is None else "places of the label"


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return " x ".join(f"{side:g}" for side in value)
    return "none" if value is None else str(value)


def multiscale(name: str, spacing_um: Spacing | None) -> dict[str, Any]:
    """Describes one level as OME-Zarr 0.5 does; without unit where the voxel size is not known.

    >>> multiscale("v", None)["multiscales"][0]["axes"][0]
    {'name': 'z', 'type': 'space'}
    """
    unit = {} if spacing_um is None else {"unit": "micrometer"}
    scale = {"type": "scale", "scale": list(spacing_um or (1.0, 1.0, 1.0))}
    return {
        "version": "0.5",
        "multiscales": [
            {
                "name": name,
                "axes": [{"name": axis, "type": "space", **unit} for axis in AXES],
                "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
            }
        ],
    }


def _write_voxels(
    draft: Path, metadata: VolumeMetadata, planes: Iterator[Planes], *, labelled: bool
) -> None:
    """Writes planes as they come; they wait on disk until a row of chunks is complete."""
    targets = [_create(draft / "0", metadata.shape, metadata.dtype)]
    if labelled:
        targets.append(_create(draft / LABEL / "0", metadata.shape, "uint8"))
    depth, *plane = metadata.shape
    grid = [-(-n // CELL) for n in metadata.shape]
    rows = (len(Cells._fields), CHUNK // CELL, *grid[1:])
    cells = zarr.create_array(
        draft / CELLS, shape=(len(Cells._fields), *grid), dtype="float32", chunks=rows
    )
    waiting = [
        _on_disk(draft / f"waiting{i}", t.dtype, (min(CHUNK, depth), *plane))
        for i, t in enumerate(targets)
    ]
    for z, ready in enumerate(planes):
        for slab, one in zip(waiting, ready, strict=True):
            slab[z % CHUNK] = one
        if (z + 1) % CHUNK == 0 or z + 1 == depth:
            for target, slab in zip(targets, waiting, strict=True):
                _flush(slab, target, z + 1)
            _measure(waiting[0], cells, z + 1)
    for i in range(len(waiting)):
        (draft / f"waiting{i}").unlink()


def _on_disk(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Makes an array on disk; a disk that is full refuses it here, and does not kill us later."""
    with path.open("wb") as file:
        reserve(file.fileno(), prod(shape) * dtype.itemsize)
    return np.memmap(path, dtype, "r+", shape=shape)


def reserve(file: int, size: int) -> None:
    """Takes the room of a file that is going to be mapped into memory.

    Raises:
        OSError: There is not enough of it.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)


def _create(path: Path, shape: Shape, dtype: str) -> zarr.Array[Any]:
    chunks = tuple(min(CHUNK, n) for n in shape)
    return zarr.create_array(
        path,
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        compressors=(ZstdCodec(), Crc32cCodec()),  # a bit that flips on disk is found on reading
        dimension_names=AXES,
    )


def _flush(slab: NDArray[Any], target: zarr.Array[Any], end: int) -> None:
    """Writes the planes up to ``end`` in strips one chunk high, so that memory holds one strip."""
    start = (end - 1) // CHUNK * CHUNK
    for y in range(0, target.shape[1], CHUNK):
        target[start:end, y : y + CHUNK] = slab[: end - start, y : y + CHUNK]


def _measure(slab: NDArray[Any], cells: zarr.Array[Any], end: int) -> None:
    """Keeps what `find_tissue` needs of the planes up to ``end``, a layer of cells at a time."""
    start = (end - 1) // CHUNK * CHUNK
    for z in range(0, end - start, CELL):
        layer = slab[z : min(z + CELL, end - start)]
        rows = [layer[:, y : y + CHUNK] for y in range(0, slab.shape[1], CHUNK)]
        measured = [np.stack(measure_cells(row)) for row in rows]
        cells[:, (start + z) // CELL : (start + z) // CELL + 1] = np.concatenate(measured, 2)


def _write_metadata(draft: Path, name: str, stream: CheckedPlanes) -> None:
    """Adds all metadata; the fingerprint comes last."""
    metadata = stream.metadata
    root = zarr.open_group(draft, mode="a")
    ours: dict[str, Any] = {
        "group": metadata.group,
        "channel": metadata.channel,
        "spacing_known": metadata.spacing_um is not None,
        "label_voxels": stream.label_voxels,
        "fingerprint": stream.fingerprint(),
        "content": stream.content(),
        "name": name,
    }
    if metadata.grid is not None:
        ours["grid"] = dict(metadata.grid)
    if metadata.classes != VESSEL:
        ours["classes"] = metadata.classes
    if stream.counter is not None:
        counted = stream.counter.histogram()
        root.create_array("intensity", data=np.stack([counted.values, counted.counts]))
    else:
        image = zarr.open_array(draft / "0", mode="r")
        table = tabulate(lambda: _blocks(image), stream.dtype, prod(metadata.shape))
        ours["percentiles"] = {str(p): value for p, value in table.percentiles.items()}
    if stream.label_voxels is not None:
        root.create_group("labels", attributes={"ome": {"version": "0.5", "labels": ["vessel"]}})
        about = multiscale("vessel", metadata.spacing_um)
        about["image-label"] = {"source": {"image": "../../"}}
        root.create_group(LABEL, attributes={"ome": about})
        for axis, counts in zip(AXES, stream.profile, strict=True):
            root.create_array(f"{PROFILE}/{axis}", data=counts)
    root.attrs.update({"ome": multiscale(name, metadata.spacing_um), "vpbsd": ours})


def _blocks(array: zarr.Array[Any]) -> Iterator[NDArray[Any]]:
    for z in range(0, array.shape[0], CHUNK):
        for y in range(0, array.shape[1], CHUNK):
            yield np.asarray(array[z : z + CHUNK, y : y + CHUNK])
