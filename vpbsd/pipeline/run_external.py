"""Runs the scoring of masks that another tool or a person made: measured like networks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from vpbsd.data.volume_keys import volume_key
from vpbsd.evaluation.codebook_health import StageSummary
from vpbsd.evaluation.evaluate import measure_part, read_raw
from vpbsd.pipeline.stage_config import External
from vpbsd.pipeline.stages import StageSpec
from vpbsd.pipeline.steps import Step, conclude, load_rows, save_rows


def run_external(
    stage: StageSpec, config: External, out: Path, resume: Path | None
) -> Iterator[Step]:
    """Measures the mask of every test part; the n-th of `masks` is that of the n-th of `test`.

    Yields:
        A step after every part, with all rows so far.
    """
    rows, pictures = load_rows(resume)
    pairs = list(zip(stage.parts["test"], stage.parts["masks"], strict=True))
    for part, mask in pairs[len(rows) :]:
        row, shown = measure_part(part, read_raw(mask))
        for kind, picture in shown.items():
            pictures[f"{kind}_{len(rows)}_{volume_key(str(row['volume']))}"] = picture
        rows.append({**row, "time": time.time()})
        yield Step(rows, len(rows) / len(pairs), lambda path: save_rows(path, rows, pictures))
    conclude(out, rows, StageSummary({}, None, pictures))
