"""Files of named arrays: .npz and HDF5."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vpbsd.data.intake.stack import (
    INDEX,
    Choice,
    Opened,
    Planes,
    Stack,
    absent_chunks,
    refuse_absent,
    without_ones,
)
from vpbsd.data.intake.voxel_sizes import positive
from vpbsd.data.volumes import Spacing, triple
from vpbsd.errors import BadInput

if TYPE_CHECKING:
    import h5py

IMAGES = ("image", "raw", "volume", "data", "exported_data")
LABELS = ("label", "labels", "mask", "seg", "segmentation", "gt")
SPACING = "spacing_zyx_um"
ELEMENT = "element_size_um"  # attribute of a dataset, as Fiji, ilastik and PlantSeg write it


@dataclass(frozen=True)
class Held:
    """An array within a file: what its header says, and how its planes are read."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    planes: Callable[[INDEX], Planes]
    spacing_um: Spacing | None = None
    remark: str = ""


def open_npz(path: Path, choice: Choice) -> Opened:
    """Opens the arrays image and label of an .npz file, or those that the user names.

    Raises:
        BadInput: It holds no such array, or the voxel size in it cannot be read.
    """
    with zipfile.ZipFile(path) as file:
        heads = {name.removesuffix(".npy"): _npy_header(file, name) for name in file.namelist()}
    spacing = None
    if SPACING in heads:
        with np.load(path) as arrays:
            spacing = _spacing(path, arrays[SPACING])

    def held(name: str) -> Held:
        def planes(index: INDEX) -> Planes:
            with np.load(path) as arrays:
                yield from arrays[name][index]

        return Held(*heads[name], planes, spacing)

    return _opened(path, {name: held(name) for name in heads if name != SPACING}, choice)


def open_hdf5(path: Path, choice: Choice) -> Opened:
    """Opens datasets of an HDF5 file: image and label by their usual names, or as named.

    Raises:
        BadInput: It is not clear which dataset is the image.
    """
    import h5py

    found: dict[str, Held] = {}

    def visit(name: str, node: object) -> None:
        if isinstance(node, h5py.Dataset) and node.ndim >= 3:
            element = node.attrs.get(ELEMENT)
            spacing = None if element is None else _spacing(path, element)
            if spacing is not None and choice.axes == "xyz":
                spacing = triple(spacing[::-1])  # it is in the order of the dataset's axes
            planes = _hdf5_planes(path, name)
            found[name] = Held(node.shape, node.dtype, planes, spacing, _absent(node))

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return _opened(path, found, choice)


def _absent(dataset: h5py.Dataset) -> str:
    """Says how many chunks of a dataset were never written, which are read as its fill value."""
    if dataset.chunks is None:
        return ""
    sides = zip(dataset.shape, dataset.chunks, strict=True)
    return absent_chunks(prod(-(-n // c) for n, c in sides), dataset.id.get_num_chunks())


def _hdf5_planes(path: Path, name: str) -> Callable[[INDEX], Planes]:
    def planes(index: INDEX) -> Planes:
        import h5py

        depth = index.index(slice(None))
        with h5py.File(path, "r") as file:
            for z in range(file[name].shape[depth]):
                yield np.asarray(file[name][(*index[:depth], z, *index[depth + 1 :])])

    return planes


def _opened(path: Path, held: Mapping[str, Held], choice: Choice) -> Opened:
    image = choice.dataset or _named(held, IMAGES)
    label = choice.label_dataset or _named(held, LABELS)
    if choice.label_dataset is None and (label is None or _several(held, LABELS)):
        _refuse_doubtful(path, held, image, choice)
    only = [name for name in held if name != label]
    if image is None and label is None and len(only) == 1:
        image = only[0]
    if image is None and choice.dataset is None and label is not None and len(held) == 1:
        image = label  # a file that holds a label and nothing else: what it is for, others know
        label = None
    for name in (image, label):
        if name is not None and name not in held:
            raise BadInput(f"{path} holds {_listed(held)}, but no {name}")
    if image is None:
        raise BadInput(
            f"{path} holds {_listed(held)}, but no image: name its arrays image and label, or "
            "choose by --dataset NAME and --label-dataset NAME"
        )
    several = sum(n > 1 for n in held[image].shape) > 3
    refuse_absent(path, "c" * several, choice.take)
    found = _stack(path, held[image], choice)
    return Opened(found, None if label is None else _stack(path, held[label], choice))


def _refuse_doubtful(
    path: Path, held: Mapping[str, Held], image: str | None, choice: Choice
) -> None:
    """Refuses a file that holds several labels, or beside the image what might be one."""
    labels = _several(held, LABELS)
    if labels:
        raise BadInput(
            f"{path} holds the labels {', '.join(labels)}: choose by --label-dataset NAME"
        )
    if image in held and choice.dataset is None:
        alike = [n for n in held if n != image and held[n].shape == held[str(image)].shape]
        if alike:
            raise BadInput(
                f"{path} holds {', '.join(alike)} beside the image {image}: if it is the label, "
                f"choose it by --label-dataset NAME; else pass --dataset {image}"
            )


def _several(held: Mapping[str, Held], usual: tuple[str, ...]) -> list[str]:
    """Lists the arrays of usual names, where there are more than one."""
    found = [name for name in held if name.rpartition("/")[2].lower() in usual]
    return found if len(found) > 1 else []


def _named(held: Mapping[str, Held], usual: tuple[str, ...]) -> str | None:
    """Finds the one array whose last name is usual; None where there is none or several."""
    found = [name for name in held if name.rpartition("/")[2].lower() in usual]
    exact = [name for name in found if name == usual[0]]
    if exact:
        return exact[0]
    return found[0] if len(found) == 1 else None


def _listed(held: Mapping[str, Held]) -> str:
    return ", ".join(held) or "no array of three axes"


def _stack(path: Path, held: Held, choice: Choice) -> Stack:
    index = _index(path, held.shape, choice)
    shape = tuple(n for n, i in zip(held.shape, index, strict=True) if isinstance(i, slice))
    if choice.axes == "xyz":
        turned = partial(_across, held.planes, index)
        return Stack(path, shape[::-1], held.dtype, held.spacing_um, turned, remark=held.remark)
    planes = partial(held.planes, index)
    return Stack(path, shape, held.dtype, held.spacing_um, planes, remark=held.remark)


def _across(planes: Callable[[INDEX], Planes], index: INDEX) -> Planes:
    """Turns planes across x (y, z) into planes across z (y, x); the volume is held in memory."""
    yield from np.stack(list(planes(index))).T


def _index(path: Path, shape: tuple[int, ...], choice: Choice) -> INDEX:
    """Chooses a volume of an array: an axis more is the channel, at either end the shorter one."""
    longer = [i for i, n in enumerate(shape) if n > 1]
    if len(longer) == 4 and "c" in choice.take:
        channel = longer[0] if shape[longer[0]] <= shape[longer[3]] else longer[3]
        if not 0 <= choice.take["c"] < shape[channel]:
            raise BadInput(f"{path} has shape {shape}: it has no channel {choice.take['c']}")
        index: list[int | slice] = [slice(None) if n > 1 else 0 for n in shape]
        index[channel] = choice.take["c"]
        return tuple(index)
    return without_ones(path, shape)


def _spacing(path: Path, stated: ArrayLike) -> Spacing | None:
    """Reads three numbers, or one for all axes; NaN says that the size is not known."""
    sizes: NDArray[np.float64] = np.asarray(stated, np.float64).ravel()
    if sizes.size not in (1, 3):
        raise BadInput(f"{path}: its voxel size has {sizes.size} numbers: give z, y, x or one")
    return positive(np.broadcast_to(sizes, 3))


def _npy_header(file: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with file.open(name) as array:
        form = np.lib.format
        first = form.read_magic(array) == (1, 0)
        read = form.read_array_header_1_0 if first else form.read_array_header_2_0
        shape, _, dtype = read(array)
    return shape, dtype
