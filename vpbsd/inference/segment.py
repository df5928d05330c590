"""Segments a volume of any size, block by block, and goes on where it stopped."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr

from vpbsd.data.folds import whole_volume
from vpbsd.data.volume_writer import multiscale
from vpbsd.data.volumes import VolumeInfo, read_info
from vpbsd.errors import BadInput
from vpbsd.inference.model import SIDE, load_model, read_settings
from vpbsd.inference.sliding_window import blocks, label_of, predict_block, reader
from vpbsd.section import canonical

Stored = zarr.Array[Any]


def segment(model: str | Path, volume: str | Path, out: str | Path) -> None:
    """Writes the label of an OME-Zarr volume as an OME-Zarr mask (uint8, numbers of classes).

    Blocks that an interrupted run has finished are not computed again.

    Args:
        model: A folder that `vpbsd final` wrote.
        volume: An imported volume.
        out: The mask; made, or continued.

    Raises:
        BadInput: No such model or volume, or `out` is something else.
    """
    settings, info = read_settings(Path(model)), read_info(volume)
    out = Path(out)
    mask, done = _open_out(out, info, settings)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    student = load_model(model, device)
    read = reader(whole_volume(info), student.data)
    places = blocks(info.shape, SIDE)
    began, skipped = time.monotonic(), int(np.count_nonzero(done[:]))
    for number, place in enumerate(places):
        if done[number]:
            continue
        probability = predict_block(student.network, read, info.shape, student.data.patch, place)
        # The mask first: a stop between the two lines repeats a block and never skips one.
        mask[place] = label_of(probability)
        done[number] = 1
        _show_progress(number + 1, len(places), skipped, began)
    print(f"vessels of {info.name} are in {out}", file=sys.stderr)


def _open_out(out: Path, info: VolumeInfo, settings: object) -> tuple[Stored, Stored]:
    """Opens the mask and its record of finished blocks; an earlier run's if it was the same work.

    Raises:
        BadInput: Something else is in its place.
    """
    source = {"fingerprint": info.fingerprint, "settings": json.loads(canonical(settings))}
    if out.exists() and _source(out) != source:
        raise BadInput(f"{out} exists and is no mask of {info.name}: choose another name")
    attributes: Any = {"vpbsd_source": source, "ome": multiscale(info.name, info.spacing_um)}
    group = zarr.open_group(out, mode="a", attributes=attributes)
    count = len(blocks(info.shape, SIDE))
    mask = group.require_array("0", shape=info.shape, chunks=(64, 64, 64), dtype="uint8")
    done = group.require_array("done", shape=(count,), chunks=(1,), dtype="uint8")
    return mask, done


def _source(out: Path) -> object:
    """Reads what an earlier run noted that it segments; None if `out` is something else."""
    try:
        return zarr.open_group(out, mode="r").attrs.get("vpbsd_source")
    except (OSError, ValueError):
        return None


def _show_progress(number: int, count: int, skipped: int, began: float) -> None:
    spent = time.monotonic() - began
    left = spent / max(number - skipped, 1) * (count - number)
    print(f"block {number}/{count}, about {left:.0f} s left", file=sys.stderr)
