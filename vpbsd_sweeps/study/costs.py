"""What a stage costs in time and space: stated guesses, until it was run."""

from __future__ import annotations

import math
from collections.abc import Iterable

from vpbsd.config import Network, SwinNet, UnetrNet, VNet
from vpbsd.data.lattice import cells
from vpbsd.data.turns import turns_of
from vpbsd.methods.configs import PatternsConfig
from vpbsd.methods.distilling_configs import VpbSDConfig
from vpbsd.methods.rival_configs import CpsConfig, WithTransformer
from vpbsd.pipeline.stage_config import (
    Evaluate,
    Examine,
    External,
    Targets,
    Threshold,
    Timing,
    Train,
)
from vpbsd.pipeline.stages import Stage

TEACHER_STEP, STUDENT_STEP, VNET_STEP = 0.25, 0.04, 4.1
"""Seconds per 32x64x64 patch of a training step on one core: Swin of 12, Light UNet, V-Net."""
FORWARD_SHARE = 0.35
"""A forward pass against a training step."""
HALF = 0.35
"""A step that rebuilds half the resolution against one that rebuilds all of it."""
VIEWS = {"s2dc": 2.2, "chaitanya": 0.6}
"""A pre-training step against one of segmentation, where several views go through the encoder
alone (S2DC's is of a region of four patches); measured on one core at feature size 12."""
SKELETON = 0.06
"""Seconds of one iteration of soft skeletons per labelled patch, with the gradient."""
PASSES = {"evaluate": 8, "examine": 7}
"""Forward passes per patch, where it is not one: windows overlap, codes are swapped."""
VOXELS = 32 * 64 * 64
THRESHOLDING = 0.3
"""Seconds per patch to measure a threshold, mostly its metrics; a guess."""
BYTES, NUMBER = 4, 2
"""Of a weight, and of the number of a code word."""
TEACHER_PARAMETERS, STUDENT_PARAMETERS, VNET_PARAMETERS = 62.2e6, 0.12e6, 45.6e6
"""Of Swin UNETR at feature size 48, of the Light UNet, and of V-Net."""
PICTURE = 70e3
"""Bytes of an overlay."""
PROCESS = 1.0
"""GB (2^30 bytes) of a process with its libraries and patches."""
TRAINED = 16
"""Bytes of a weight that is trained: it, its gradient, and two moments."""
SWIN_VOXEL, LIGHT_VOXEL, UNETR_VOXEL, VNET_VOXEL = 160, 300, 1000, 1300
"""Bytes kept for the gradient per voxel of a batch, of Swin per feature; measured in fp32."""


def guess(stage: Stage) -> float:
    """Guesses seconds on one core; for proportions and orders of magnitude, not promises."""
    config = stage.config
    if isinstance(config, Timing):
        blocks = config.blocks * math.prod(config.patch) / VOXELS
        return blocks * FORWARD_SHARE * step_seconds(config.network)
    scale = math.prod(config.data.patch) / VOXELS
    if isinstance(config, Threshold | External):
        return count_patches(stage) * scale * THRESHOLDING
    if isinstance(config, Train):
        patches = config.optim.batch * len(stage.parts)
        steps = config.optim.steps_per_epoch or count_patches(stage) / config.optim.batch
        step = patches * _pace(config) + config.optim.batch * _skeletons(config)
        return steps * len(config.optim.span) * scale * step
    upstream = stage.upstream["network" if isinstance(config, Evaluate) else "teacher"].config
    assert isinstance(upstream, Train)
    windows = count_patches(stage) * _passes(config)
    return windows * scale * FORWARD_SHARE * step_seconds(upstream.method.network)


def _passes(config: Targets | Evaluate | Examine) -> int:
    """Counts forward passes per patch; codes of every turn take one each."""
    if isinstance(config, Targets) and config.turned:
        return len(turns_of(config.data.patch))
    return PASSES.get(config.kind, 1)


def _pace(config: Train) -> float:
    method = config.method
    half = isinstance(method, PatternsConfig) and method.rebuilt_at == 2
    share = HALF if half else VIEWS.get(method.name, 1.0)
    beside = method.transformer if isinstance(method, WithTransformer) else method.network
    two = isinstance(method, WithTransformer | CpsConfig)
    return step_seconds(method.network) * share + (step_seconds(beside) if two else 0.0)


def _skeletons(config: Train) -> float:
    """Returns the seconds that soft-clDice adds to a labelled patch."""
    method = config.method
    if isinstance(method, VpbSDConfig) and method.cldice:
        return SKELETON * method.cldice_iterations
    return 0.0


def step_seconds(network: Network) -> float:
    """Guesses the seconds of a training step per 32x64x64 patch on one core."""
    if isinstance(network, SwinNet):
        return TEACHER_STEP * (network.feature_size / 12) ** 2 * sum(network.depths) / 4
    if isinstance(network, UnetrNet):
        return TEACHER_STEP * network.feature_size / 8  # .16 s at 4, .30 s at 8, measured
    return VNET_STEP if isinstance(network, VNet) else STUDENT_STEP


def count_patches(stage: Stage) -> int:
    """Counts patches of the first role; unlabelled ones are capped by the sample."""
    assert not isinstance(stage.config, Timing)
    (role, parts) = next(iter(stage.parts.items()))
    count = len(cells(parts, stage.config.data.patch))
    sampling = getattr(stage.config, "sampling", None)
    return min(count, sampling.patches) if role == "unlabelled" and sampling else count


def guess_bytes(stage: Stage) -> float:
    """Guesses the bytes of a result in the store; what compresses is taken as it is."""
    config = stage.config
    if isinstance(config, Timing):
        return 0.0
    if isinstance(config, Train):
        return BYTES * _parameters(config.method.network)
    if isinstance(config, Examine):
        return 3 * PICTURE
    if isinstance(config, Evaluate | Threshold | External):
        return PICTURE * len(stage.parts["test"])
    teacher = stage.upstream["teacher"].config
    assert isinstance(teacher, Train)
    assert isinstance(teacher.method.network, SwinNet)
    width = BYTES * teacher.method.network.feature_size
    book = teacher.method.network.codebook
    turned = NUMBER * _passes(config) if config.turned else 1
    a_voxel = {
        "codes": turned / (32 if book is None else book.cell) ** 3,
        "pseudo": 1 / 8,
        "margin": 2.0,
        "features": 16 * width / 32**3,
        "features16": 8 * width / 16**3,
    }
    return count_patches(stage) * math.prod(config.data.patch) * a_voxel[config.says]


def guess_memory(stages: Iterable[Stage]) -> dict[str, float]:
    """Guesses, family by family, how much memory the largest of some stages takes at its peak.

    Returns:
        Family -> GB (2^30 bytes) of a process that has no GPU.
    """
    most: dict[str, float] = {}
    for stage in stages:
        most[stage.family] = max(most.get(stage.family, 0.0), _memory(stage))
    return most


def _memory(stage: Stage) -> float:
    config = stage.config
    if not isinstance(config, Train):
        return PROCESS
    method = config.method
    networks = [method.network]
    networks += [method.transformer] if isinstance(method, WithTransformer) else []
    networks += [method.network] if isinstance(method, CpsConfig) else []
    voxels = math.prod(config.data.patch) * config.optim.batch * len(stage.parts)
    kept = sum(TRAINED * _parameters(n) + voxels * _kept(n) for n in networks)
    return PROCESS + kept / 2**30


def _kept(network: Network) -> float:
    if isinstance(network, SwinNet):
        return SWIN_VOXEL * network.feature_size
    if isinstance(network, UnetrNet):
        return UNETR_VOXEL
    return VNET_VOXEL if isinstance(network, VNet) else LIGHT_VOXEL


def _parameters(network: Network) -> float:
    if isinstance(network, SwinNet):
        return TEACHER_PARAMETERS * (network.feature_size / 48) ** 2
    if isinstance(network, UnetrNet):
        h = network.hidden_size
        return 12 * (4 * h**2 + 2 * h * network.mlp_dim) + 15_000 * network.feature_size**2
    return VNET_PARAMETERS if isinstance(network, VNet) else STUDENT_PARAMETERS
