"""Checks a volume on its way to disk, plane by plane, and counts what only all of it tells."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpbsd.data.intensity import Counter, countable
from vpbsd.data.volumes import VESSEL, Planes, Shape, Spacing, triple
from vpbsd.errors import BadInput

TYPES = tuple(f"{kind}{bits}" for kind in ("uint", "int") for bits in (8, 16, 32, 64))
TYPES += ("float16", "float32", "float64")
ROUNDED = 1e-4
"""How far from a whole number a label's value may be: 255 scaled by a header to 1.00000006."""


@dataclass(frozen=True)
class VolumeMetadata:
    """What a volume's voxels do not say themselves; see ``VolumeInfo`` for the fields.

    `grid` is where its source says that the voxels lie, see `intake.grids.stated_grid`.
    """

    shape: Shape
    dtype: str
    spacing_um: Spacing | None
    group: str
    channel: str | None = None
    classes: tuple[str, ...] = VESSEL
    grid: Mapping[str, Any] | None = None


def check_metadata(name: str, metadata: VolumeMetadata) -> None:
    """Refuses metadata that no voxel could make right.

    Raises:
        BadInput: The type is neither integer nor float, a side is empty, or a voxel size is not
            a positive number.
    """
    if metadata.dtype not in TYPES or min(metadata.shape) < 1:
        raise BadInput(
            f"volume {name} of type {metadata.dtype} and shape {metadata.shape} cannot be used: "
            "save it as a non-empty grey stack of integers or floats"
        )
    if metadata.spacing_um and not all(0 < size < np.inf for size in metadata.spacing_um):
        raise BadInput(
            f"volume {name}: voxel size {metadata.spacing_um} is not positive: "
            "give micrometres, or say that it is unknown"
        )


class CheckedPlanes:
    """Checks the planes of a volume that pass by, and keeps what only all of them tell.

    Attributes:
        metadata: As given; the voxel size as floats.
        dtype: Type of the image.
        label_voxels: Voxels of any class so far; None where there is no label.
        counter: Counts intensities; None for types with too many values.
        profile: The same per plane along z, y and x.
    """

    def __init__(self, name: str, metadata: VolumeMetadata, label_above: float | None) -> None:
        check_metadata(name, metadata)
        spacing = metadata.spacing_um and triple(float(size) for size in metadata.spacing_um)
        self.metadata = replace(metadata, spacing_um=spacing)  # 5 and 5.0 are one voxel size
        self.dtype = np.dtype(metadata.dtype)
        self.label_voxels: int | None = None
        self.counter = Counter(self.dtype) if countable(self.dtype) else None
        self.profile = tuple(np.zeros(n, np.int64) for n in metadata.shape)
        self._name, self._above = name, label_above
        self._digests = {"image": hashlib.sha256(), "label": hashlib.sha256()}

    def checked(
        self, image_slabs: Iterable[NDArray[Any]], label_slabs: Iterable[NDArray[Any]] | None
    ) -> Iterator[Planes]:
        """Yields the planes of image and label, in order, each as it will be stored.

        Raises:
            BadInput: A value is not finite, a shape does not fit, or the label holds
                another value than 0 and the numbers of its classes.
        """
        images = self._planes("image", image_slabs)
        if label_slabs is None:
            yield from ((self._image(z, plane),) for z, plane in enumerate(images))
            return
        self.label_voxels = 0
        labels = self._planes("label", label_slabs)
        for z, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield self._image(z, image), self._label(z, label)

    def fingerprint(self) -> str:
        """Computes the volume's SHA-256, once all its planes have passed."""
        content = asdict(self.metadata) | {k: d.hexdigest() for k, d in self._digests.items()}
        for name in ("channel", "classes", "grid"):  # renamed or moved, voxels are the same
            del content[name]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def content(self) -> str:
        """Computes the SHA-256 of the image's voxels, type and shape, once all have passed."""
        about = [self.metadata.dtype, *self.metadata.shape, self._digests["image"].hexdigest()]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()

    def _planes(self, kind: str, slabs: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
        depth, *plane_shape = self.metadata.shape
        z = 0
        for slab in slabs:
            if list(slab.shape[1:]) != plane_shape or z + len(slab) > depth:
                self._refuse_shape(kind, (z + len(slab), *slab.shape[1:]))
            yield from slab
            z += len(slab)
        if z != depth:
            self._refuse_shape(kind, (z, *plane_shape))

    def _refuse_shape(self, kind: str, shape: tuple[int, ...]) -> None:
        wanted = " x ".join(map(str, self.metadata.shape))
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
        elif plane.dtype.kind == "f":
            whole = np.rint(plane)
            plane = whole if np.allclose(plane, whole, rtol=0, atol=ROUNDED) else plane
        allowed = range(1 + len(self.metadata.classes))
        if not np.isin(plane, list(allowed)).all():
            found = ", ".join(f"{v:g}" for v in np.unique(plane)[:8])
            raise BadInput(
                f"volume {self._name}: its label must be {_listed(allowed)}, but slice z={z} "
                f"holds the values {found}: pass --label-above 0 to call everything above 0 one "
                "class, or name the classes of 1, 2, ... by --classes"
            )
        label = np.ascontiguousarray(plane, np.uint8)
        self._digests["label"].update(label.data)
        marked = label > 0
        along_y = marked.sum(axis=1, dtype=np.int64)
        self.profile[0][z] = along_y.sum()
        self.profile[1][:] += along_y
        self.profile[2][:] += marked.sum(axis=0, dtype=np.int64)
        self.label_voxels = (self.label_voxels or 0) + int(along_y.sum())
        return label

    def _check_finite(self, kind: str, z: int, plane: NDArray[Any]) -> None:
        if plane.dtype.kind == "f" and not np.isfinite(plane).all():
            y, x = np.argwhere(~np.isfinite(plane))[0]
            raise BadInput(
                f"volume {self._name}: its {kind} holds {plane[y, x]} first at "
                f"z={z}, y={y}, x={x}: replace what is not finite"
            )


def _listed(numbers: range) -> str:
    """Lists numbers as people do: 0 or 1; 0, 1 or 2."""
    *first, last = map(str, numbers)
    return f"{', '.join(first)} or {last}"
