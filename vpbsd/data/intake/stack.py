"""What every format becomes: a stack of planes that is read when it is asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vpbsd.data.volume_writer import reserve
from vpbsd.data.volumes import Spacing
from vpbsd.errors import BadInput

Planes = Iterator[NDArray[Any]]


@dataclass(frozen=True)
class Stack:
    """Planes that a file or folder holds; only headers are read until planes are.

    Attributes:
        path: Where it lies.
        shape: z, y, x.
        dtype: Type of its voxels.
        spacing_um: Voxel size z, y, x that the file states; None where it states none.
        planes: Starts reading the planes (y, x), z = 0 first.
        affine: (4, 4), from voxel (z, y, x) to a place in `frame`; None where none is stated.
        second_affine: Another one that the file states beside it; None where it states one place.
        frame: Space that the affine leads to; two affines are compared within one only.
        in_um: Whether the affine leads to micrometres; else the file states no unit.
        doubt: Why a voxel size that is stated was not taken; empty where there is no doubt.
        inverted: Whether the file says that white is zero; its planes are turned round.
        coloured: Whether its values are numbers of colours, as those of a label may be.
        remark: What else is to be known of how it is read.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    spacing_um: Spacing | None
    planes: Callable[[], Planes]
    affine: NDArray[np.float64] | None = None
    second_affine: NDArray[np.float64] | None = None
    frame: str = ""
    in_um: bool = True
    doubt: str = ""
    inverted: bool = False
    coloured: bool = False
    remark: str = ""


@dataclass(frozen=True)
class Opened:
    """A volume that a source holds: the image and, where the source itself holds one, the label.

    Attributes:
        position: Which of several in one source; empty where there is one.
        image: Its planes.
        label: Of the same source.
    """

    image: Stack
    label: Stack | None = None
    position: str = ""


@dataclass(frozen=True)
class Choice:
    """What the user chooses where a source holds more than one thing.

    Attributes:
        take: Axis -> index, such as c -> 0; axes are c (channel), t (time), p (position).
        dataset: Name of the image within a file of named arrays.
        label_dataset: Name of the label there.
        axes: Order of the axes there: ``zyx``, or ``xyz`` as medical arrays often have it.
    """

    take: Mapping[str, int] = field(default_factory=dict)
    dataset: str | None = None
    label_dataset: str | None = None
    axes: Literal["zyx", "xyz"] = "zyx"


CODECS = "this compression is not installed: pip install imagecodecs"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns whatever a library raises on a damaged file within into one line.

    Raises:
        BadInput: The file cannot be read; it and the reason are named.
    """
    try:
        yield
    except BadInput:
        raise
    except Exception as error:  # the libraries of a dozen formats have no common base
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        codecs = isinstance(error, ImportError) or "imagecodecs" in reason
        raise BadInput(f"{path} cannot be read: {CODECS if codecs else reason}") from error


NAMES = {"c": "channels", "t": "time points", "p": "positions"}
INDEX = tuple[int | slice, ...]


def select(path: Path, axes: str, shape: tuple[int, ...], take: Mapping[str, int]) -> INDEX:
    """Chooses one grey volume out of an array of named axes.

    Args:
        path: Named in messages.
        axes: A letter per axis, of z, y, x, c, t, p.
        shape: Of the array.
        take: Axis -> index, as the user chose.

    Returns:
        An index that leaves the axes z, y, x, in this order.

    Raises:
        BadInput: Several are held and none was chosen, or z, y, x are not there in this order.

    >>> select(Path("a"), "tczyx", (1, 2, 7, 20, 30), {"c": 1})
    (0, 1, slice(None, None, None), slice(None, None, None), slice(None, None, None))
    """
    left = "".join(axis for axis in axes if axis in "zyx")
    if left != "zyx":
        raise BadInput(
            f"{path} has the axes {axes} and shape {shape}: save one grey stack (zyx) per channel"
        )
    index: list[int | slice] = []
    for axis, length in zip(axes, shape, strict=True):
        if axis in "zyx":
            index.append(slice(None))
            continue
        chosen = take.get(axis, 0 if length == 1 else None)
        if chosen is None:
            raise BadInput(
                f"{path} has {length} {NAMES.get(axis, axis)} (axes {axes}, shape {shape}): save "
                f"one volume per file, or choose one by --take {axis}=0 to {axis}={length - 1}"
            )
        if not 0 <= chosen < length:
            raise BadInput(f"{path} has {length} {NAMES.get(axis, axis)}: {axis}={chosen} is none")
        index.append(chosen)
    return tuple(index)


def refuse_absent(path: Path, axes: str, take: Mapping[str, int]) -> None:
    """Refuses a choice beyond the first along an axis that a file does not have.

    Raises:
        BadInput: Naming file and axis.
    """
    for axis, chosen in take.items():
        if chosen and axis in "ct" and axis not in axes:
            raise BadInput(f"{path} has one of {NAMES[axis]} only: {axis}={chosen} is none")


def absent_chunks(count: int, held: int) -> str:
    """Says how many of an array's chunks are not there; nothing where all are.

    >>> absent_chunks(8, 6)
    ', 2 of 8 chunks are not there and count as empty'
    """
    return f", {count - held} of {count} chunks are not there and count as empty" * (held < count)


def without_ones(path: Path, shape: tuple[int, ...]) -> INDEX:
    """Drops axes of one voxel beyond the three of a volume, where that is no guess.

    Raises:
        BadInput: Not three axes are left, or it is not clear which they are.

    >>> without_ones(Path("a"), (1, 7, 20, 30))
    (0, slice(None, None, None), slice(None, None, None), slice(None, None, None))
    """
    spare = len(shape) - 3
    ways = [n for n in range(spare + 1) if set(shape[:n] + shape[n + 3 :]) <= {1}]
    if spare < 0 or not ways:
        raise BadInput(
            f"{path} has shape {shape}: save one volume of three axes per channel, or choose one "
            "by --take"
        )
    if len(ways) > 1:
        raise BadInput(f"{path} has shape {shape}: save three axes, it is not clear which count")
    return (0,) * ways[0] + (slice(None),) * 3 + (0,) * (spare - ways[0])


def turned(stack: Stack, axes: tuple[int, ...], flips: tuple[bool, ...]) -> Stack:
    """Returns a stack whose axes are exchanged and mirrored, exactly; it waits on disk meanwhile.

    Args:
        stack: The stack as stored.
        axes: Which stored axis becomes z, y, x.
        flips: Which of the new axes are mirrored.
    """
    mirrored = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
    inverse = np.argsort(axes)
    shape = tuple(stack.shape[axis] for axis in axes)

    def planes() -> Planes:
        with tempfile.TemporaryFile() as file:
            reserve(file.fileno(), prod(shape) * stack.dtype.itemsize)
            whole = np.memmap(file, stack.dtype, "r+", shape=shape)
            stored = whole[mirrored].transpose(tuple(inverse))  # a view in the stored order
            for z, plane in enumerate(stack.planes()):
                stored[z] = plane
            for plane in whole:
                yield np.asarray(plane)

    return replace(stack, shape=shape, planes=planes, affine=None, second_affine=None)


def slabs(stack: Stack) -> Planes:
    """Yields the planes of a stack as slabs (1, y, x); what cannot be read is named."""
    with reading(stack.path):
        for plane in stack.planes():
            yield plane[np.newaxis]
