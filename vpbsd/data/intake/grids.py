"""Whether a label lies on the voxels of its image, and how it must be turned to do so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from vpbsd.data.intake.stack import Stack, turned
from vpbsd.data.volumes import Spacing, VolumeInfo
from vpbsd.errors import BadInput

NEAR = 0.1
"""Voxels that float32 headers may be apart, at the farthest corner, and still mean one grid."""


def stated_grid(image: Stack) -> dict[str, Any] | None:
    """Gives as plain data where the header says that an image's voxels lie; None: nowhere."""
    if image.affine is None:
        return None
    return {"affine": image.affine.tolist(), "frame": image.frame, "in_um": image.in_um}


def imported_grid(info: VolumeInfo) -> Stack:
    """Makes the stack, without planes, of a volume's image as it was imported.

    Its affine is None where its source stated none, or an older version imported it.
    """
    ours: Any = zarr.open_group(info.path, mode="r").attrs["vpbsd"]
    grid = ours.get("grid")
    stack = Stack(Path(info.path), info.shape, np.dtype(info.dtype), info.spacing_um, _none)
    if grid is None:
        return stack
    affine = np.array(grid["affine"], np.float64)
    return replace(stack, affine=affine, frame=grid["frame"], in_um=grid["in_um"])


def _none() -> Iterator[NDArray[Any]]:
    return iter(())


def on_grid(image: Stack, label: Stack, *, ignore: bool = False) -> Stack:
    """Returns the label on the voxels of its image: as it is, or flipped and permuted exactly.

    Args:
        image: Where the label must lie.
        label: Its label.
        ignore: Whether what headers say of place and voxel size is to be left aside.

    Raises:
        BadInput: It lies elsewhere, is turned by an angle, or has voxels of another size.
    """
    if not ignore:
        if image.affine is not None and label.affine is not None and image.frame == label.frame:
            label = _placed(image, label)
        else:
            _same_spacing(image, label)
    if label.shape != image.shape:
        raise BadInput(
            f"{label.path}: its label has shape {label.shape}, but the image {image.path} has "
            f"{image.shape} (z, y, x): they must cover the same voxels"
        )
    return label


def _placed(image: Stack, label: Stack) -> Stack:
    """Turns a label onto its image; where files state two places, both must say the same."""
    assert image.affine is not None
    assert label.affine is not None
    axes, flips = _turn(image, label, image.affine, _in_unit_of(image, label))
    if image.second_affine is not None or label.second_affine is not None:
        first = replace(image, affine=_second(image)), replace(label, affine=_second(label))
        try:
            same = _turn(*first, _second(image), _in_unit_of(*first)) == (axes, flips)
        except BadInput:
            same = False
        if not same:
            raise _refused(
                image,
                label,
                "lies on them by one of the places that it states (qform and sform) "
                "and elsewhere by the other",
            )
    return label if axes == (0, 1, 2) and not any(flips) else turned(label, axes, flips)


def _second(stack: Stack) -> NDArray[np.float64]:
    found = stack.affine if stack.second_affine is None else stack.second_affine
    assert found is not None
    return found


def _in_unit_of(image: Stack, label: Stack) -> NDArray[np.float64]:
    """Gives the label's affine; where one of the two states no unit, in that which fits best."""
    there, here = image.affine, label.affine
    assert there is not None
    assert here is not None
    if image.in_um == label.in_um:
        return here
    wanted, stated = (abs(np.linalg.det(affine[:3, :3])) for affine in (there, here))
    scale = (wanted / stated) ** (1 / 3) if stated else 1.0
    return np.asarray(np.diag([scale] * 3 + [1.0]) @ here)


def _turn(
    image: Stack, label: Stack, there: NDArray[np.float64], here: NDArray[np.float64]
) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Finds how a label must be turned, by the affines of image (`there`) and label (`here`).

    Returns:
        The stored axis that becomes z, y, x, and whether it is mirrored.
    """
    if not (np.isfinite(there).all() and np.isfinite(here).all()):
        raise _refused(image, label, "states a place that is no number, or its image does")
    try:
        between = np.linalg.inv(there) @ here  # voxels of the label to those of the image
    except np.linalg.LinAlgError:
        raise _refused(image, label, "states an affine that is singular") from None
    axes, offset = np.rint(between[:3, :3]), between[:3, 3]
    if not _keeps_axes(axes) or _drift(between[:3, :3] - axes, label.shape) > NEAR:
        raise _refused(image, label, _why(between[:3, :3]))
    source = tuple(int(axis) for axis in np.abs(axes).argmax(1))
    flips = tuple(bool(axes[i, axis] < 0) for i, axis in enumerate(source))
    sides = [label.shape[axis] for axis in source]
    away = offset - [side - 1 if flip else 0 for side, flip in zip(sides, flips, strict=True)]
    if np.abs(away).max() > NEAR:
        moved = ", ".join(f"{voxels:.3g}" for voxels in away)
        raise _refused(image, label, f"begins ({moved}) voxels away in z, y, x")
    return source, flips


def _keeps_axes(axes: NDArray[np.float64]) -> bool:
    """Tells whether a matrix only exchanges and mirrors axes."""
    return bool((np.abs(axes).sum(0) == 1).all() and (np.abs(axes).sum(1) == 1).all())


def _drift(error: NDArray[np.float64], shape: tuple[int, ...]) -> float:
    return float((np.abs(error) @ np.array(shape)).max())


def _why(between: NDArray[np.float64]) -> str:
    sizes = np.linalg.norm(between, axis=0)
    if np.allclose(sizes, 1, atol=1e-2):
        return "is rotated or sheared against it"
    return f"has voxels {' x '.join(f'{size:.4g}' for size in sizes)} times as large"


def _same_spacing(image: Stack, label: Stack) -> None:
    if image.spacing_um is None or label.spacing_um is None:
        return
    if not np.allclose(image.spacing_um, label.spacing_um, rtol=1e-2):
        ours, theirs = (_sides(stack.spacing_um) for stack in (image, label))
        raise _refused(image, label, f"has voxels of {theirs} um, the image of {ours} um")


def _sides(spacing: Spacing | None) -> str:
    return " x ".join(f"{side:g}" for side in spacing or ())


def _refused(image: Stack, label: Stack, why: str) -> BadInput:
    return BadInput(
        f"{label.path} does not lie on the voxels of {image.path}: by its header it {why}: "
        "resample it to the image; if the headers are wrong and the voxels do match, correct them "
        "(or pass --ignore-grids, where it is a label to be imported)"
    )
