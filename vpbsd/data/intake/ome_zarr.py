"""OME-Zarr of other programs: versions 0.4 and 0.5, its finest level, its own label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from vpbsd.data.intake.names import is_zarr, natural
from vpbsd.data.intake.stack import (
    Choice,
    Opened,
    Planes,
    Stack,
    absent_chunks,
    refuse_absent,
    select,
)
from vpbsd.data.intake.voxel_sizes import UM, positive
from vpbsd.data.volumes import Spacing
from vpbsd.errors import BadInput


def open_ome_zarr(path: Path, choice: Choice) -> tuple[Opened, ...]:
    """Opens the images of an OME-Zarr folder, one per position, each with its label.

    Raises:
        BadInput: It is no OME-Zarr image, or it is not clear which label is meant.
    """
    if "multiscales" in _about(path):
        return (_image(path, choice, ""),)
    inside = sorted((p for p in path.iterdir() if is_zarr(p)), key=natural)
    images = [p for p in inside if "multiscales" in _about(p)]
    if "p" in choice.take:
        images = [p for p in images if p.name == str(choice.take["p"])]
    if not images:
        raise BadInput(f"{path} is no OME-Zarr image: it has no multiscales")
    several = len(images) > 1
    return tuple(_image(p, choice, f"_p{p.name}" if several else "") for p in images)


def _about(path: Path) -> Mapping[str, Any]:
    """Reads what OME says of a folder; nothing where it is an array."""
    node = zarr.open(path, mode="r")
    return _ome(node) if isinstance(node, zarr.Group) else {}


def _ome(group: zarr.Group) -> Mapping[str, Any]:
    """Gives the attributes of OME, which version 0.5 keeps apart and 0.4 does not."""
    attributes: dict[str, Any] = dict(group.attrs)
    ours: Mapping[str, Any] = attributes.get("ome", attributes)
    return ours


def _image(path: Path, choice: Choice, position: str) -> Opened:
    axes = _ome(zarr.open_group(path, mode="r"))["multiscales"][:1]
    named = [a["name"] if isinstance(a, dict) else a for m in axes for a in m.get("axes", ())]
    refuse_absent(path, "".join(named).lower(), choice.take)
    return Opened(_stack(path, choice.take), _label(path, choice), position)


def _label(path: Path, choice: Choice) -> Stack | None:
    folder = path / "labels"
    if not folder.is_dir():
        return None
    held = _ome(zarr.open_group(folder, mode="r")).get("labels", []) if is_zarr(folder) else []
    held = list(dict.fromkeys([*held, *(p.name for p in sorted(folder.iterdir()) if is_zarr(p))]))
    name = choice.label_dataset or (held[0] if len(held) == 1 else None)
    if held and name not in held:
        raise BadInput(
            f"{path} holds the labels {', '.join(held)}: choose by --label-dataset NAME"
        )
    return _stack(folder / name, choice.take) if name and held else None


def _stack(path: Path, take: Mapping[str, int]) -> Stack:
    images = _ome(zarr.open_group(path, mode="r"))["multiscales"]
    if len(images) != 1 or "axes" not in images[0]:
        raise BadInput(f"{path} is of OME-Zarr 0.2 or older, or holds several images: convert it")
    about = images[0]
    levels = [(zarr.open_array(path / d["path"], mode="r"), d) for d in about["datasets"]]
    array: Any
    array, level = max(levels, key=lambda found: prod(found[0].shape))  # mostly the first
    axes = [axis["name"] if isinstance(axis, dict) else axis for axis in about["axes"]]
    index = select(path, "".join(axes).lower(), array.shape, take)
    depth, height, width = (
        n for n, i in zip(array.shape, index, strict=True) if isinstance(i, slice)
    )
    at = index.index(slice(None))

    def planes() -> Planes:
        step = array.chunks[at]  # a chunk is unpacked once
        for z in range(0, depth, step):
            part = slice(z, z + step)
            yield from np.asarray(array[(*index[:at], part, *index[at + 1 :])])

    scale, offset = _transforms([*_steps(level), *_steps(about)], len(axes))
    space = [i for i, axis in enumerate(axes) if axis.lower() in "zyx"]
    unit = _unit(about["axes"], space)
    affine = np.eye(4)
    affine[:3, :3] = np.diag(scale[space])
    affine[:3, 3] = offset[space]
    factor = UM.get(unit, 1.0)
    scaled = any(step["type"] == "scale" for step in (*_steps(level), *_steps(about)))
    return Stack(
        path,
        (depth, height, width),
        np.dtype(array.dtype),
        _spacing(scale[space], unit) if scaled else None,
        planes,
        affine=np.diag([factor] * 3 + [1.0]) @ affine,
        frame="zarr",
        in_um=unit in UM,
        remark=absent_chunks(array.nchunks, array.nchunks_initialized),
    )


def _steps(of: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Lists the transformations of a level, or those that all levels share."""
    return list(of.get("coordinateTransformations", ()))


def _transforms(
    steps: list[Mapping[str, Any]], axes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Joins scales and translations; the level's own come first."""
    scale, offset = np.ones(axes), np.zeros(axes)
    for step in steps:
        if step["type"] == "scale":
            scale, offset = scale * step["scale"], offset * step["scale"]
        elif step["type"] == "translation":
            offset = offset + step["translation"]
        elif step["type"] != "identity":
            raise BadInput(f"a transformation of type {step['type']} cannot be read: resample it")
    return scale, offset


def _unit(axes: Sequence[str | Mapping[str, str]], space: list[int]) -> str:
    named = [axis for axis in (axes[i] for i in space) if not isinstance(axis, str)]
    units = {axis.get("unit", "") for axis in named}
    return units.pop() if len(units) == 1 else ""


def _spacing(scale: NDArray[np.float64], unit: str) -> Spacing | None:
    return positive(scale * UM[unit]) if unit in UM else None
