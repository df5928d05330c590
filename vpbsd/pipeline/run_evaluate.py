"""Runs an evaluation or a timing of a network."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from vpbsd.evaluation.codebook_health import StageSummary
from vpbsd.evaluation.evaluate import Row, evaluate
from vpbsd.evaluation.picture_names import picture_name
from vpbsd.inference.profiling import CUBE, block_times, size_of
from vpbsd.networks.build import build_network, load_network
from vpbsd.pipeline.stage_config import Evaluate, Timing
from vpbsd.pipeline.stages import StageSpec
from vpbsd.pipeline.steps import Inputs, Step, conclude, load_rows, save_rows


def run_evaluate(
    stage: StageSpec,
    config: Evaluate,
    inputs: Inputs,
    out: Path,
    resume: Path | None,
    device: torch.device,
) -> Iterator[Step]:
    """Measures a stored network on every test part.

    Yields:
        A step after every part, with all rows so far.
    """
    network = load_network(inputs["network"]).to(device)
    rows, pictures = load_rows(resume)
    left = stage.parts["test"][len(rows) :]
    seen = config.data, config.precision, config.stride
    for row, shown in evaluate(network, left, *seen):
        for kind, picture in shown.items():
            pictures[picture_name(kind, len(rows), str(row["volume"]))] = picture
        rows.append({**row, "time": time.time()})
        share = len(rows) / len(stage.parts["test"])
        yield Step(rows, share, lambda path: save_rows(path, rows, pictures))
    conclude(out, rows, StageSummary(size_of(network, config.data.patch), None, pictures))


def run_timing(config: Timing, out: Path, device: torch.device) -> Iterator[Step]:
    """Measures milliseconds per 64^3 voxels, and size; weights do not matter.

    It takes a few seconds, which need no resuming.

    Yields:
        A step after every ten blocks.
    """
    network = build_network(config.network, 0).to(device).eval()
    scale = CUBE / math.prod(config.patch)
    rows: list[Row] = []
    for i, ms in enumerate(block_times(network, config.patch, config.precision, config.blocks)):
        rows.append({"block": i + 1.0, "ms_per_block": scale * ms, "time": time.time()})
        if len(rows) % 10 == 0:
            yield Step(rows, len(rows) / config.blocks, lambda path: save_rows(path, rows, {}))
    times = np.array([row["ms_per_block"] for row in rows], float)
    numbers = {"ms_per_block": float(times.mean()), "ms_sd": float(times.std(ddof=1))}
    numbers |= size_of(network, config.patch)
    conclude(out, rows, StageSummary(numbers))
