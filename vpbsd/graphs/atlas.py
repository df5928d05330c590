"""An annotation volume under a mask: which region each place lies in, without resampling."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from vpbsd.data.volumes import Shape, Slices, Spacing, VolumeInfo
from vpbsd.errors import BadInput

OUTSIDE = 0
"""The value of what is annotated as nothing, or lies beyond the atlas."""
APART = 0.02
"""Share by which the extents of atlas and mask may differ, or else by a voxel of the atlas."""

SLAB = 64
"""Planes of an atlas that are read together."""
_SLIGHT = 1e-9  # a voxel's face is of the voxel after it, however the quotient was rounded


class Atlas:
    """A label image whose voxels have a size of their own.

    Both volumes begin at the same corner: voxel i covers i to i + 1 times its size. A place has
    the label of the atlas voxel that it lies in.

    Args:
        info: The atlas, imported.
        spacing_um: Its voxel size.
        shape: Of the mask.
        mask_um: Voxel size of the mask.

    Raises:
        BadInput: It is no label image, its voxel size is not positive, or it is not as large as
            the mask, in micrometres.
    """

    def __init__(
        self, info: VolumeInfo, spacing_um: Spacing, shape: Shape, mask_um: Spacing
    ) -> None:
        if not np.issubdtype(np.dtype(info.dtype), np.integer):
            raise BadInput(
                f"{info.name} is of type {info.dtype}: an atlas has whole numbers; save it as such"
            )
        if not all(0 < side < float("inf") for side in spacing_um):
            raise BadInput(f"--atlas-spacing {spacing_um}: give micrometres above 0")
        _check_extent(info, spacing_um, shape, mask_um)
        self._array = zarr.open_array(f"{info.path}/0", mode="r")
        self._spacing, self._mask_um = spacing_um, mask_um

    def cells(self, box: Slices) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
        """Reads the atlas under a box of the mask's voxels.

        Returns:
            Regions (a, b, c) of cells, each of which is one voxel of the atlas or a part of it;
            and for each axis, where in the box cells begin: (a,), (b,), (c,).
        """
        rows, starts = [], []
        for b, mine, own in zip(box, self._mask_um, self._spacing, strict=True):
            row = np.floor((np.arange(b.start, b.stop) + 0.5) * (mine / own) + _SLIGHT)
            begins = np.flatnonzero(np.r_[True, np.diff(row) > 0])
            rows.append(row[begins].astype(np.int64))
            starts.append(begins)
        held = [row[row < n] for row, n in zip(rows, self._array.shape, strict=True)]
        found = np.full([len(row) for row in rows], OUTSIDE, np.int64)
        if all(len(row) for row in held):
            z, y, x = (slice(int(row[0]), int(row[-1]) + 1) for row in held)
            part = np.asarray(self._array[z, y, x]).astype(np.int64)
            at = np.ix_(*(row - row[0] for row in held))
            found[tuple(slice(len(row)) for row in held)] = part[at]
        return found, starts

    def at(self, places: NDArray[np.float64]) -> NDArray[np.int64]:
        """Finds the regions of places (n, 3) in um, counted from the centre of the first voxel."""
        found = np.full(len(places), OUTSIDE, np.int64)
        if len(places) == 0:
            return found
        corner = places + np.array(self._mask_um) / 2
        voxel = np.floor(corner / np.array(self._spacing) + _SLIGHT).astype(np.int64)
        inside = np.flatnonzero(((voxel >= 0) & (voxel < self._array.shape)).all(1))
        slabs = voxel[inside, 0] // SLAB
        for slab in np.unique(slabs):
            rows = inside[slabs == slab]
            first = int(slab) * SLAB
            part = np.asarray(self._array[first : first + SLAB])
            z, y, x = voxel[rows].T
            found[rows] = part[z - first, y, x].astype(np.int64)
        return found


def read_names(path: Path | None) -> dict[int, str]:
    """Reads names of regions from a CSV with the columns id and name; others are not looked at.

    Raises:
        BadInput: It cannot be read, a column is missing, or an id is no whole number.
    """
    if path is None:
        return {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if not {"id", "name"} <= set(rows.fieldnames or ()):
                raise BadInput(f"{path} has no columns id and name: name them in its first line")
            return {int(row["id"]): row["name"] for row in rows}
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8: save it as such") from error
    except (TypeError, ValueError) as error:
        raise BadInput(f"{path}: {error}: an id is a whole number") from error


def _check_extent(info: VolumeInfo, spacing_um: Spacing, shape: Shape, mask_um: Spacing) -> None:
    sizes = [
        (n * own, m * mine, own)
        for n, own, m, mine in zip(info.shape, spacing_um, shape, mask_um, strict=True)
    ]
    if any(abs(a - b) > max(APART * b, own) for a, b, own in sizes):
        atlas, mask = (" x ".join(f"{s[i]:g}" for s in sizes) for i in (0, 1))
        raise BadInput(
            f"{info.name} covers {atlas} um (z, y, x), but the mask {mask}: give the atlas in the "
            "mask's space and orientation, and the right voxel sizes"
        )
