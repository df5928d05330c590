"""What a stage costs: measured where it was run before, else a stated guess."""

from __future__ import annotations

from vpbsd.config import SwinNet
from vpbsd.data.lattice import cells
from vpbsd.stages import Evaluate, Stage, Targets, Train

TEACHER_STEP, STUDENT_STEP = 0.25, 0.04
"""Seconds per 32x64x64 patch of a training step on one core: feature size 12, Light UNet."""
FORWARD_SHARE = 0.35
"""A forward pass against a training step."""
VOXELS = 32 * 64 * 64


def guess(stage: Stage) -> float:
    """Seconds on one core; for proportions and orders of magnitude, not for promises."""
    config = stage.config
    scale = config.data.patch[0] * config.data.patch[1] * config.data.patch[2] / VOXELS
    if isinstance(config, Train):
        patches = config.optim.batch * (2 if "unlabelled" in stage.parts and stage.upstream else 1)
        steps = config.optim.steps_per_epoch or _patches(stage) / config.optim.batch
        return steps * config.optim.epochs * patches * scale * _step(config)
    upstream = stage.upstream["teacher" if isinstance(config, Targets) else "network"].config
    assert isinstance(upstream, Train)
    windows = _patches(stage) * (8 if isinstance(config, Evaluate) else 1)
    return windows * scale * FORWARD_SHARE * _step(upstream)


def _step(config: Train) -> float:
    network = config.method.network
    if isinstance(network, SwinNet):
        return TEACHER_STEP * (network.feature_size / 12) ** 2 * sum(network.depths) / 4
    return STUDENT_STEP


def _patches(stage: Stage) -> int:
    """Of the first role; unlabelled ones are capped by the sample."""
    (role, parts) = next(iter(stage.parts.items()))
    count = len(cells(parts, stage.config.data.patch))
    sampling = getattr(stage.config, "sampling", None)
    return min(count, sampling.patches) if role == "unlabelled" and sampling else count
