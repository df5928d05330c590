"""Writes volumes: slab by slab, checked on the way, visible once they are whole."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import zarr
from numpy.typing import NDArray

from vpbsd.data.intensity import Counter, countable, tabulate
from vpbsd.data.volumes import (
    AXES,
    CHUNK,
    LABEL,
    SUFFIX,
    Planes,
    Shape,
    Spacing,
    VolumeInfo,
    _triple,
    read_info,
)
from vpbsd.errors import BadInput

TYPES = tuple(f"{kind}{bits}" for kind in ("uint", "int") for bits in (8, 16, 32, 64))
TYPES += ("float16", "float32", "float64")


@dataclass(frozen=True)
class Facts:
    """What a volume's voxels do not say themselves: see ``VolumeInfo`` for the fields."""

    shape: Shape
    dtype: str
    spacing_um: Spacing | None
    group: str
    channel: str | None = None


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
    facts = Facts(_triple(image.shape), image.dtype.name, spacing_um, group, channel)
    return write_volume(folder, name, [image], facts, None if label is None else [label])


def write_volume(
    folder: str | Path,
    name: str,
    image_slabs: Iterable[NDArray[Any]],
    facts: Facts,
    label_slabs: Iterable[NDArray[Any]] | None = None,
    label_above: float | None = None,
) -> VolumeInfo:
    """Writes a volume slab by slab, checks it on the way, and lets it appear once it is whole.

    Memory holds one slab, and a few megabytes; 64 planes wait on disk for their chunks to fill.

    Args:
        folder: The data set; made where missing.
        name: Of the volume.
        image_slabs: The image from z = 0 on, in slabs (any depth, y, x).
        facts: Shape, type, voxel size, group and channel.
        label_slabs: The label, likewise; its slabs may have other depths. None: no label.
        label_above: The label's voxels above this are vessels; None: the label is 0 or 1.

    Returns:
        The volume, also where the same one (by fingerprint and channel) was there already.

    Raises:
        BadInput: A value is not finite, image and label do not fit, the label is not binary, or
            another volume of this name exists.
    """
    final = Path(folder) / f"{name}{SUFFIX}"
    there = read_info(final) if final.exists() else None
    stream = _Stream(name, facts, label_above)
    planes = stream.checked(image_slabs, label_slabs)
    if there is not None:
        deque(planes, maxlen=0)
        if (there.fingerprint, there.channel) != (stream.fingerprint(), facts.channel):
            raise BadInput(f"{final} exists and differs: rename one of them, or delete it")
        return there
    draft = Path(folder) / f".{name}.{uuid4().hex[:8]}.partial"
    try:
        _write_voxels(draft, facts, planes, labelled=label_slabs is not None)
        _write_facts(draft, name, stream)
        draft.rename(final)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return read_info(final)


def check_facts(name: str, facts: Facts) -> None:
    """Refuses what no voxel could mend.

    Raises:
        BadInput: The type is neither integer nor float, a side is empty, or a voxel size is not
            a positive number.
    """
    if facts.dtype not in TYPES or min(facts.shape) < 1:
        raise BadInput(
            f"volume {name} of type {facts.dtype} and shape {facts.shape} cannot be used: "
            "save it as a non-empty grey stack of integers or floats"
        )
    if facts.spacing_um and not all(0 < size < np.inf for size in facts.spacing_um):
        raise BadInput(
            f"volume {name}: voxel size {facts.spacing_um} is not positive: "
            "give micrometres, or say that it is unknown"
        )


class _Stream:
    """Checks the planes of a volume that pass by, and keeps what only all of them tell."""

    def __init__(self, name: str, facts: Facts, label_above: float | None) -> None:
        check_facts(name, facts)
        spacing = facts.spacing_um and _triple(float(size) for size in facts.spacing_um)
        self.facts = replace(facts, spacing_um=spacing)  # 5 and 5.0 are one voxel size
        self.dtype = np.dtype(facts.dtype)
        self.label_voxels: int | None = None
        self.counter = Counter(self.dtype) if countable(self.dtype) else None
        self._name, self._above = name, label_above
        self._digests = {"image": hashlib.sha256(), "label": hashlib.sha256()}

    def checked(
        self, image_slabs: Iterable[NDArray[Any]], label_slabs: Iterable[NDArray[Any]] | None
    ) -> Iterator[Planes]:
        """The planes of image and label, in order, each as it will be stored."""
        images = self._planes("image", image_slabs)
        if label_slabs is None:
            yield from ((self._image(z, plane),) for z, plane in enumerate(images))
            return
        self.label_voxels = 0
        labels = self._planes("label", label_slabs)
        for z, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield self._image(z, image), self._label(z, label)

    def fingerprint(self) -> str:
        """The volume's, once all its planes have passed."""
        content = asdict(self.facts) | {k: d.hexdigest() for k, d in self._digests.items()}
        del content["channel"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _planes(self, kind: str, slabs: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
        depth, *plane_shape = self.facts.shape
        z = 0
        for slab in slabs:
            if list(slab.shape[1:]) != plane_shape or z + len(slab) > depth:
                self._refuse_shape(kind, (z + len(slab), *slab.shape[1:]))
            yield from slab
            z += len(slab)
        if z != depth:
            self._refuse_shape(kind, (z, *plane_shape))

    def _refuse_shape(self, kind: str, shape: tuple[int, ...]) -> None:
        wanted = " x ".join(map(str, self.facts.shape))
        found = " x ".join(map(str, shape))
        raise BadInput(
            f"volume {self._name}: its {kind} has {found} voxels instead of {wanted} (z, y, x): "
            "image and label must cover the same voxels"
        )

    def _image(self, z: int, plane: NDArray[Any]) -> NDArray[Any]:
        plane = np.ascontiguousarray(plane.astype(self.dtype, casting="equiv", copy=False))
        self._check_finite("image", z, plane)
        if self.counter is not None:
            self.counter.add(plane)
        self._digests["image"].update(plane.astype(self.dtype.newbyteorder("<"), copy=False).data)
        return plane

    def _label(self, z: int, plane: NDArray[Any]) -> NDArray[Any]:
        self._check_finite("label", z, plane)
        if self._above is not None:
            plane = plane > self._above
        vessel = plane == 1
        if not (vessel | (plane == 0)).all():
            found = ", ".join(f"{v:g}" for v in np.unique(plane)[:8])
            raise BadInput(
                f"volume {self._name}: its label must be 0 or 1, but slice z={z} holds the values "
                f"{found}: pass --label-above 0 to call everything above 0 vessel"
            )
        label = np.ascontiguousarray(vessel, np.uint8)
        self._digests["label"].update(label.data)
        self.label_voxels = (self.label_voxels or 0) + int(label.sum(dtype=np.int64))
        return label

    def _check_finite(self, kind: str, z: int, plane: NDArray[Any]) -> None:
        if plane.dtype.kind == "f" and not np.isfinite(plane).all():
            y, x = np.argwhere(~np.isfinite(plane))[0]
            raise BadInput(
                f"volume {self._name}: its {kind} holds {plane[y, x]} first at "
                f"z={z}, y={y}, x={x}: replace what is not finite"
            )


def _write_voxels(draft: Path, facts: Facts, planes: Iterator[Planes], *, labelled: bool) -> None:
    targets = [_create(draft / "0", facts.shape, facts.dtype)]
    if labelled:
        targets.append(_create(draft / LABEL / "0", facts.shape, "uint8"))
    depth, *plane = facts.shape
    waiting = [
        np.memmap(draft / f"waiting{i}", t.dtype, "w+", shape=(min(CHUNK, depth), *plane))
        for i, t in enumerate(targets)
    ]
    for z, ready in enumerate(planes):
        for slab, one in zip(waiting, ready, strict=True):
            slab[z % CHUNK] = one
        if (z + 1) % CHUNK == 0 or z + 1 == depth:
            for target, slab in zip(targets, waiting, strict=True):
                _flush(slab, target, z + 1)
    for i in range(len(waiting)):
        (draft / f"waiting{i}").unlink()


def _create(path: Path, shape: Shape, dtype: str) -> zarr.Array[Any]:
    chunks = tuple(min(CHUNK, n) for n in shape)
    return zarr.create_array(path, shape=shape, dtype=dtype, chunks=chunks, dimension_names=AXES)


def _flush(slab: NDArray[Any], target: zarr.Array[Any], end: int) -> None:
    """Writes the planes up to ``end`` in strips one chunk high, so that memory holds one strip."""
    start = (end - 1) // CHUNK * CHUNK
    for y in range(0, target.shape[1], CHUNK):
        target[start:end, y : y + CHUNK] = slab[: end - start, y : y + CHUNK]


def _write_facts(draft: Path, name: str, stream: _Stream) -> None:
    """Adds all metadata; the fingerprint comes last."""
    facts = stream.facts
    root = zarr.open_group(draft, mode="a")
    ours: dict[str, Any] = {
        "group": facts.group,
        "channel": facts.channel,
        "spacing_known": facts.spacing_um is not None,
        "label_voxels": stream.label_voxels,
        "fingerprint": stream.fingerprint(),
    }
    if stream.counter is not None:
        counted = stream.counter.histogram()
        root.create_array("intensity", data=np.stack([counted.values, counted.counts]))
    else:
        image = zarr.open_array(draft / "0", mode="r")
        table = tabulate(lambda: _blocks(image), stream.dtype, prod(facts.shape))
        ours["percentiles"] = {str(p): value for p, value in table.percentiles.items()}
    if stream.label_voxels is not None:
        root.create_group("labels", attributes={"ome": {"version": "0.5", "labels": ["vessel"]}})
        about = _multiscale("vessel", facts.spacing_um)
        about["image-label"] = {"source": {"image": "../../"}}
        root.create_group(LABEL, attributes={"ome": about})
    root.attrs.update({"ome": _multiscale(name, facts.spacing_um), "vpbsd": ours})


def _multiscale(name: str, spacing_um: Spacing | None) -> dict[str, Any]:
    """OME-Zarr 0.5 metadata of one level; without unit where the voxel size is not known."""
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


def _blocks(array: zarr.Array[Any]) -> Iterator[NDArray[Any]]:
    for z in range(0, array.shape[0], CHUNK):
        for y in range(0, array.shape[1], CHUNK):
            yield np.asarray(array[z : z + CHUNK, y : y + CHUNK])
