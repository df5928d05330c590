"""Stages that are stored, computed by nobody; and MLflow as it is told of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from vpbsd.pipeline.stages import Stage
from vpbsd_sweeps.reporting.columns import COLUMNS
from vpbsd_sweeps.reporting.rows import FLOOR
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.plan import make_plan
from vpbsd_sweeps.study.study import Study
from vpbsd_sweeps.tracking.sqlite import artifacts_beside
from vpbsd_sweeps.tracking.sweep_runs import SweepLogger
from vpbsd_sweeps.tracking.tracker import Tracker

Scores = Callable[[Stage, str], float]
"""(evaluation, name of a volume) -> all its metrics."""


def half(stage: Stage, volume: str) -> float:
    return 0.5


def store_stages(store: Store, stages: Iterable[Stage], scores: Scores = half) -> None:
    """Stores stages that were not run: an evaluation has its scores, all others no rows."""
    for stage in stages:
        with TemporaryDirectory() as made:
            rows = _rows(stage, scores) if stage.family == "evaluation" else []
            Path(made, "rows.json").write_text(json.dumps(rows))
            summary = {"numbers": {}, "void": None}
            Path(made, "summary.json").write_text(json.dumps(summary))
            Path(made, "stage.json").write_text("{}")
            known = {"family": stage.family, "label": stage.label, "seconds": 1.0}
            store.commit(stage.key, Path(made), known | {"finished": 1e9, "void": None})


def _rows(stage: Stage, scores: Scores) -> list[dict]:
    volumes = {part.volume.name: part.volume for part in stage.parts["test"]}
    return [
        {"volume": name, "group": volumes[name].group, "time": 1e9}
        | dict.fromkeys((*COLUMNS, FLOOR), scores(stage, name))
        for name in sorted(volumes)
    ]


def logger_of(uri: str, study: Study, store: Store) -> SweepLogger:
    tracker = Tracker(uri, study.name, artifacts_beside(uri))
    return SweepLogger(study, store, tracker, make_plan(study, store))


def deliver(uri: str, study: Study, store: Store) -> Tracker:
    """Tells MLflow all of a study; returns what it knows, read anew."""
    logger = logger_of(uri, study, store)
    logger.catch_up()
    logger.conclude({}, complete=True)
    return Tracker(uri, study.name)
