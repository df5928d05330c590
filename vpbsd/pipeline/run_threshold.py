"""Runs a threshold stage: one is chosen without the test's labels, and measured like networks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vpbsd.data.volume_keys import volume_key
from vpbsd.evaluation.codebook_health import StageSummary
from vpbsd.evaluation.evaluate import measure_part, read_raw
from vpbsd.evaluation.thresholds import (
    RAW,
    Choice,
    choose_threshold,
    otsu,
    to_scale,
    usable_scales,
)
from vpbsd.pipeline.stage_config import Threshold
from vpbsd.pipeline.stages import StageSpec
from vpbsd.pipeline.steps import Step, conclude, load_rows, save_rows


def run_threshold(
    stage: StageSpec, config: Threshold, out: Path, resume: Path | None
) -> Iterator[Step]:
    """Measures one grey threshold on every test part.

    The summary says which: ``threshold``, in units of the scale whose percentile of the volume is
    1 (``scale_percentile``, 0: raw intensities), and its ``training_dsc``; Otsu's, which each
    test part has of its own, as ``threshold/vol_NAME``.

    Yields:
        A step after every part, with all rows so far.
    """
    chosen = _chosen(stage) if config.rule == "labels" else None
    numbers = {} if chosen is None else _numbers(chosen)
    rows, pictures = load_rows(resume)
    for i, part in enumerate(stage.parts["test"]):
        image = read_raw(part)
        cut = chosen or Choice(RAW, otsu(image), 0.0)
        if chosen is None:
            numbers[f"threshold/vol_{part.volume.name}"] = min(cut.threshold, float(image.max()))
        if i < len(rows):  # measured before the stage was interrupted
            continue
        prediction = np.greater_equal(to_scale(part, image, cut.scale), cut.threshold)
        row, shown = measure_part(part, prediction)
        for kind, picture in shown.items():
            pictures[f"{kind}_{len(rows)}_{volume_key(str(row['volume']))}"] = picture
        rows.append({**row, "time": time.time()})
        share = len(rows) / len(stage.parts["test"])
        yield Step(rows, share, lambda path: save_rows(path, rows, pictures))
    conclude(out, rows, StageSummary(numbers, None, pictures))


def _chosen(stage: StageSpec) -> Choice:
    labelled, test = stage.parts["labelled"], stage.parts["test"]
    return choose_threshold(labelled, usable_scales([*labelled, *test]))


def _numbers(chosen: Choice) -> dict[str, float]:
    return {
        "threshold": chosen.threshold,
        "scale_percentile": chosen.scale,
        "training_dsc": chosen.dsc,
    }
