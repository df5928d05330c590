"""Runs a targets stage: the frozen teacher is applied once to every patch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vpbsd.evaluation.codebook_health import StageSummary
from vpbsd.networks.build import load_network
from vpbsd.networks.swin_unetr import SwinTeacher
from vpbsd.pipeline.stage_config import Targets
from vpbsd.pipeline.stages import StageSpec
from vpbsd.pipeline.steps import Inputs, Step, conclude, patch_set
from vpbsd.pipeline.targets import (
    compute_targets,
    turned_codes,
    write_targets,
    write_turned_codes,
)
from vpbsd.random_streams import generator
from vpbsd.safetensors_io import read_tensors, write_tensors

PATCHES_PER_STEP = 64  # that a teacher is applied to between two checkpoints
SAVED = "said"  # the array of a checkpoint


def run_targets(
    stage: StageSpec,
    config: Targets,
    inputs: Inputs,
    out: Path,
    resume: Path | None,
    device: torch.device,
) -> Iterator[Step]:
    """Computes and stores one field of targets for every patch of the stage's one role.

    Yields:
        A step after every 64 patches.
    """
    teacher = load_network(inputs["teacher"])
    assert isinstance(teacher, SwinTeacher)
    if config.random_codes:
        assert teacher.quantiser is not None, "codes come from a teacher with a codebook"
        teacher.quantiser.codebook.randomise(generator(stage.seed, "random codes"))
    teacher.to(device)
    (role,) = stage.parts
    patches = patch_set(stage.parts[role], role, config)
    targets = [] if resume is None else list(read_tensors(resume)[0][SAVED].numpy())
    for i in range(len(targets), len(patches)):
        image = torch.from_numpy(patches.image(i))[None, None].to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            targets.append(_answer(teacher, image, config).cpu().numpy())
        patches.forget(i)
        if len(targets) % PATCHES_PER_STEP == 0:
            yield Step([], len(targets) / len(patches), lambda path: _save(path, targets))
    if config.turned:
        assert teacher.quantiser is not None
        words = teacher.quantiser.codebook.vectors.detach().float().cpu().numpy()
        write_turned_codes(out, targets, words)
    else:
        write_targets(out, config.says, targets)
    numbers = {"patches": float(len(targets))}
    if config.says == "pseudo":
        numbers["pseudo_vessel_share"] = float(np.mean(targets))
    conclude(out, [], StageSummary(numbers))


def _answer(teacher: SwinTeacher, image: Tensor, config: Targets) -> Tensor:
    if config.turned:
        return turned_codes(teacher, image)
    return compute_targets(teacher, image, config.says)[0]


def _save(path: Path, targets: Sequence[NDArray[np.generic]]) -> None:
    write_tensors(path, {SAVED: torch.from_numpy(np.stack(targets))}, {})
