"""Runs a training stage: a method, its patches, its upstream weights and targets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vpbsd.data.patches import PatchesWithTargets, Pool
from vpbsd.data.turns import turns_of
from vpbsd.evaluation.codebook_health import StageSummary, code_drift
from vpbsd.evaluation.feature_clusters import show_clusters
from vpbsd.methods.method import Method
from vpbsd.methods.roster import build_method
from vpbsd.networks.build import WEIGHTS, load_network, save_network
from vpbsd.networks.swin_unetr import SwinTeacher
from vpbsd.pipeline.stage_config import Train
from vpbsd.pipeline.stages import Role, StageSpec
from vpbsd.pipeline.steps import Inputs, Step, conclude, patch_set
from vpbsd.pipeline.targets import StoredTargets, StoredTurnedCodes, are_turned
from vpbsd.pipeline.trust import LEAD, teacher_lead, without_worse_teacher
from vpbsd.safetensors_io import load_weights
from vpbsd.training import checkpoint
from vpbsd.training.loop import Training, fit
from vpbsd.training.validation import Validation


def run_train(
    stage: StageSpec,
    config: Train,
    inputs: Inputs,
    out: Path,
    resume: Path | None,
    device: torch.device,
) -> Iterator[Step]:
    """Trains a method and stores its network, rows and summary.

    Yields:
        A step after every epoch, and every five minutes within one.

    Raises:
        Diverged: A loss or the gradient is not finite.
    """
    lead = teacher_lead(inputs)
    config = without_worse_teacher(config, lead)
    method: Method[Any] = build_method(config.method, stage.seed)
    if "start" in inputs:
        # a teacher that was pre-trained without a codebook may be given one
        load_weights(inputs["start"] / WEIGHTS, method.deliverable, may_lack=("quantiser.",))
    pool = make_pool(stage, config, inputs)
    steps = config.optim.steps_per_epoch or pool.steps_per_pass(type(method).draws)
    method.to(device)
    training = Training(method, config.optim, steps)
    rows = [] if resume is None else checkpoint.load(resume, training)
    validation = Validation(
        stage.parts.get("validation", ()), config.data, config.optim, config.precision
    )
    for progress in fit(training, pool, device, config.precision):
        if progress.row is not None:
            score = validation.row(method, progress.row, device)
            rows.append({**progress.row, **score, "time": time.time()})
        yield Step(rows, training.share, lambda path: checkpoint.save(path, training, rows))
    summary = method.examine(pool)
    before = load_network(inputs["start"]).to(device) if "start" in inputs else None
    summary.numbers |= _drift(method.deliverable, before, pool)
    clusters = _clusters(method.deliverable, before, pool)
    summary.numbers |= clusters.numbers
    summary.pictures |= clusters.pictures
    if lead is not None:
        summary.numbers[LEAD] = lead
    summary.numbers["params_train"] = float(
        sum(p.numel() for p in method.parameters() if p.requires_grad)
    )
    save_network(out, method.deliverable, config.method.network)
    conclude(out, rows, summary)


def make_pool(stage: StageSpec, config: Train, inputs: Inputs) -> Pool:
    """Makes the pool of patches that a training draws from, with their stored targets."""

    def patches_with_targets(role: Role) -> PatchesWithTargets | None:
        if role not in stage.parts:
            return None
        patches = patch_set(stage.parts[role], role, config)
        suffix, turns = f"_{role}", turns_of(config.data.patch)
        of = {n.removesuffix(suffix): f for n, f in inputs.items() if n.endswith(suffix)}
        seen = {name for name, folder in of.items() if are_turned(folder)}
        return PatchesWithTargets(
            patches,
            {name: StoredTargets(of[name], name) for name in of.keys() - seen},
            {name: StoredTurnedCodes(of[name], turns) for name in seen},
        )

    return Pool(
        labelled=patches_with_targets("labelled"),
        unlabelled=patches_with_targets("unlabelled"),
        batch=config.optim.batch,
        seed=stage.seed,
        augment=config.augment,
    )


def _drift(after: nn.Module, before: nn.Module | None, pool: Pool) -> dict[str, float]:
    """Measures how far fine-tuning moved tokens across codes; empty where there are no codes."""
    if not (isinstance(after, SwinTeacher) and isinstance(before, SwinTeacher)):
        return {}
    if before.quantiser is None or after.quantiser is None:
        return {}
    assert pool.labelled is not None
    return code_drift(before, after, pool.labelled.patches)


def _clusters(after: nn.Module, before: nn.Module | None, pool: Pool) -> StageSummary:
    """Shows how a teacher's tokens lie by label, before fine-tuning and after."""
    if pool.labelled is None or not isinstance(after, SwinTeacher):
        return StageSummary()
    encoders = {"pre-trained": before} if before is not None else {}
    patches = pool.labelled.patches
    classes = patches.parts[0].volume.classes
    return show_clusters({**encoders, "fine-tuned": after}, patches, classes)
