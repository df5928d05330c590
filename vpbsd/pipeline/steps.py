"""What the kinds of stage share: their steps, their inputs, how a result is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vpbsd.data.folds import Part
from vpbsd.data.lattice import PatchSet, sample
from vpbsd.evaluation.codebook_health import StageSummary
from vpbsd.evaluation.evaluate import Row
from vpbsd.evaluation.pictures import save_png
from vpbsd.methods.pretraining_configs import PretrainingSection
from vpbsd.pipeline.stage_config import Examine, Targets, Train
from vpbsd.pipeline.stages import Role
from vpbsd.safetensors_io import read_tensors, write_tensors

Inputs = Mapping[str, Path]
"""Input name of a stage -> the folder of that upstream result."""


@dataclass(frozen=True)
class Step:
    """A piece of work done.

    Attributes:
        rows: All rows so far, one per finished epoch or volume; the same list grows.
        share: Of the stage that is done, in [0, 1].
        save: Writes a checkpoint from which `run` goes on exactly here.
    """

    rows: list[Row]
    share: float
    save: Callable[[Path], None]


def patch_set(parts: tuple[Part, ...], role: Role, config: Train | Targets | Examine) -> PatchSet:
    """Opens the patches of a role: all cells of labelled parts, a sample of unlabelled ones."""
    if role == "labelled":
        return PatchSet(parts, config.data)
    assert not isinstance(config, Examine), "only labelled patches are examined"
    assert config.sampling is not None, "stages with unlabelled patches say which"
    data = config.data
    if isinstance(config, Train) and isinstance(config.method, PretrainingSection):
        data = config.method.drawn(data)
    return sample(parts, data, config.sampling)


def save_rows(path: Path, rows: list[Row], pictures: dict[str, np.ndarray]) -> None:
    """Writes a checkpoint of a stage whose whole state is its rows and pictures."""
    tensors = {name: torch.from_numpy(picture) for name, picture in pictures.items()}
    write_tensors(path, tensors, {"rows": json.dumps(rows)})


def load_rows(resume: Path | None) -> tuple[list[Row], dict[str, np.ndarray]]:
    """Reads rows and pictures of a checkpoint that `save_rows` wrote; both empty of None."""
    if resume is None:
        return [], {}
    tensors, metadata = read_tensors(resume)
    return json.loads(metadata["rows"]), {name: t.numpy() for name, t in tensors.items()}


def conclude(out: Path, rows: list[Row], summary: StageSummary) -> None:
    """Writes rows, numbers, verdict and pictures of a finished stage."""
    (out / "rows.json").write_text(json.dumps(rows))
    verdict = {"numbers": summary.numbers, "void": summary.void}
    (out / "summary.json").write_text(json.dumps(verdict))
    for name, picture in summary.pictures.items():
        save_png(out / f"{name}.png", picture)
