"""Runs a targets stage: the frozen teacher speaks once about every patch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from vpbsd.evaluation.codebook_health import StageSummary
from vpbsd.networks.build import load_network
from vpbsd.networks.swin_unetr import SwinTeacher
from vpbsd.pipeline import targets
from vpbsd.pipeline.stage_config import Targets
from vpbsd.pipeline.stages import StageSpec
from vpbsd.pipeline.steps import Inputs, Step, conclude, patch_set
from vpbsd.random_streams import generator
from vpbsd.safetensors_io import read_tensors, write_tensors

PATCHES_PER_STEP = 64  # that a teacher speaks about between two checkpoints


def run_targets(
    stage: StageSpec,
    config: Targets,
    inputs: Inputs,
    out: Path,
    resume: Path | None,
    device: torch.device,
) -> Iterator[Step]:
    teacher = load_network(inputs["teacher"])
    assert isinstance(teacher, SwinTeacher)
    if config.random_codes:
        assert teacher.quantiser is not None, "codes come from a teacher with a codebook"
        teacher.quantiser.codebook.randomise(generator(stage.seed, "random codes"))
    teacher.to(device)
    (role,) = stage.parts
    patches = patch_set(stage.parts[role], role, config)
    said = [] if resume is None else list(read_tensors(resume)[0]["said"].numpy())
    for i in range(len(said), len(patches)):
        image = torch.from_numpy(patches.image(i))[None, None].to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            said.append(targets.say(teacher, image, config.says)[0].cpu().numpy())
        patches.forget()
        if len(said) % PATCHES_PER_STEP == 0:
            yield Step([], len(said) / len(patches), lambda path: _save_said(path, said))
    targets.write(out, config.says, said)
    conclude(out, [], StageSummary({"patches": float(len(said)), **_said_numbers(config, said)}))


def _said_numbers(config: Targets, said: list[np.ndarray]) -> dict[str, float]:
    return {"pseudo_vessel_share": float(np.mean(said))} if config.says == "pseudo" else {}


def _save_said(path: Path, said: list[np.ndarray]) -> None:
    write_tensors(path, {"said": torch.from_numpy(np.stack(said))}, {})
