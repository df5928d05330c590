"""Checkpoints: all state of a training in one safetensors file, nothing pickled, read strictly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from vpbsd.evaluation.evaluate import Rows
from vpbsd.safetensors_io import read_tensors, write_tensors
from vpbsd.training.loop import Training


def save(path: Path, training: Training, rows: Rows) -> None:
    """Writes a checkpoint: under a temporary name first, so a half-written one never counts.

    Args:
        path: The file.
        training: Its method, optimiser, step and the sums of the epoch so far.
        rows: Of the epochs done.
    """
    optimiser = training.optimiser.state_dict()
    tensors = {f"method/{k}": v for k, v in training.method.state_dict().items()}
    scalars: dict[str, Any] = {}
    for number, state in optimiser["state"].items():
        for name, value in state.items():
            # What is no tensor, such as a count, goes with the text: the file holds tensors only.
            if isinstance(value, Tensor):
                tensors[f"optimiser/{number}/{name}"] = value
            else:
                scalars[f"{number}/{name}"] = value
    progress = {
        "step": training.step,
        "sums": training.sums,
        "rows": rows,
        "scalars": scalars,
        "groups": optimiser["param_groups"],
    }
    write_tensors(path, tensors, {"training": json.dumps(progress)})


def load(path: Path, training: Training) -> Rows:
    """Puts a freshly built training where the checkpoint stands; returns the rows so far.

    Raises:
        RuntimeError: The checkpoint belongs to another network (names or shapes differ).
    """
    tensors, metadata = read_tensors(path)
    progress = json.loads(metadata["training"])
    training.method.load_state_dict(_under(tensors, "method/"), strict=True)
    state: dict[int, dict[str, Any]] = {}
    for place, value in _under(tensors, "optimiser/").items():
        number, name = place.split("/")
        state.setdefault(int(number), {})[name] = value
    for place, value in progress["scalars"].items():
        number, name = place.split("/")
        state.setdefault(int(number), {})[name] = value
    training.optimiser.load_state_dict({"state": state, "param_groups": progress["groups"]})
    training.step = progress["step"]
    training.sums = {name: (total, steps) for name, (total, steps) in progress["sums"].items()}
    rows: Rows = progress["rows"]
    return rows


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
