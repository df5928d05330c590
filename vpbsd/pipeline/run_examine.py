"""Runs an examination: what the code words of a fine-tuned teacher carry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from vpbsd.evaluation.code_evidence import (
    examine_mask,
    examine_meaning,
    examine_reconstruction,
)
from vpbsd.evaluation.code_statistics import verdict
from vpbsd.evaluation.codebook_health import StageSummary
from vpbsd.networks.build import load_network
from vpbsd.networks.swin_unetr import SwinTeacher
from vpbsd.pipeline.stage_config import Examine
from vpbsd.pipeline.stages import StageSpec
from vpbsd.pipeline.steps import Inputs, Step, conclude, patch_set, save_rows


def run_examine(
    stage: StageSpec, config: Examine, inputs: Inputs, out: Path, device: torch.device
) -> Iterator[Step]:
    """Makes the checks of `code_evidence`; one that fails is the summary's verdict.

    It takes seconds to a minute, which need no resuming.

    Yields:
        A step after every check.
    """
    patches = patch_set(stage.parts["labelled"], "labelled", config)
    teacher = _teacher(inputs["teacher"], device)
    checks: list[Callable[[], StageSummary]] = [
        lambda: examine_mask(teacher, patches),
        lambda: examine_meaning(teacher, patches),
    ]
    if "pretrained" in inputs:
        before = _teacher(inputs["pretrained"], device)
        checks.append(
            lambda: StageSummary(examine_reconstruction(before, patches, config.rebuilt_at))
        )
    summary = StageSummary()
    for i, check in enumerate(checks):
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            found = check()
        summary.numbers |= found.numbers
        summary.pictures |= found.pictures
        yield Step([], (i + 1) / len(checks), lambda path: save_rows(path, [], {}))
    summary.void = verdict(summary.numbers)
    conclude(out, [], summary)


def _teacher(folder: Path, device: torch.device) -> SwinTeacher:
    network = load_network(folder).to(device)
    assert isinstance(network, SwinTeacher)
    return network
