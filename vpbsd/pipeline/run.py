"""Runs one stage, from its inputs to a folder of results: a generator with resumable steps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from vpbsd.pipeline.run_evaluate import run_evaluate, run_timing
from vpbsd.pipeline.run_examine import run_examine
from vpbsd.pipeline.run_external import run_external
from vpbsd.pipeline.run_targets import run_targets
from vpbsd.pipeline.run_threshold import run_threshold
from vpbsd.pipeline.run_train import run_train
from vpbsd.pipeline.stage_config import Examine, External, Targets, Threshold, Timing, Train
from vpbsd.pipeline.stages import StageSpec
from vpbsd.pipeline.steps import Inputs, Step
from vpbsd.section import canonical


def run(stage: StageSpec, inputs: Inputs, out: Path, resume: Path | None = None) -> Iterator[Step]:
    """Runs a stage and leaves its result in `out`.

    Args:
        stage: What to do.
        inputs: Results of its upstream stages.
        out: An empty folder; holds `stage.json`, `rows.json`, `summary.json`, pictures and the
            weights or targets when the generator ends.
        resume: A checkpoint that a `Step` of this stage saved.

    Yields:
        Steps, at least one per epoch, volume or 64 patches, or every five minutes of training.

    Raises:
        Diverged: A loss is not finite.
    """
    (out / "stage.json").write_text(canonical(stage.describe()))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = stage.config
    if isinstance(config, Train):
        yield from run_train(stage, config, inputs, out, resume, device)
    elif isinstance(config, Targets):
        yield from run_targets(stage, config, inputs, out, resume, device)
    elif isinstance(config, Timing):
        yield from run_timing(config, out, device)
    elif isinstance(config, Examine):
        yield from run_examine(stage, config, inputs, out, device)
    elif isinstance(config, Threshold):
        yield from run_threshold(stage, config, out, resume)
    elif isinstance(config, External):
        yield from run_external(stage, config, out, resume)
    else:
        yield from run_evaluate(stage, config, inputs, out, resume, device)


def run_json(text: str, inputs: Inputs, out: Path, resume: Path | None = None) -> Iterator[Step]:
    """Runs a stage that came as the JSON of `StageSpec.describe`; see `run`.

    Raises:
        BadInput: This version of the code cannot run it, or would give it another key.
    """
    yield from run(StageSpec.read(text), inputs, out, resume)
