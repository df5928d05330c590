"""Stages in MLflow: one run per key, filled from the store alone, whoever needs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vpbsd.pipeline.stages import Stage
from vpbsd_sweeps.execution.system_metrics import METRICS_FILE
from vpbsd_sweeps.store.results import Manifest, Store
from vpbsd_sweeps.tracking import tags as tag
from vpbsd_sweeps.tracking.tracker import Tracker, flat

Row = dict[str, Any]


class StageLogger:
    """Runs of stages under one parent run.

    Args:
        store: Results, and rows of what is running.
        tracker: The experiment.
        parent: Its run; what was stored before that began is shown as reused.
    """

    def __init__(self, store: Store, tracker: Tracker, parent: str) -> None:
        self.store, self.tracker, self.parent = store, tracker, parent
        self._began = tracker.start_time(parent)
        self.logged: set[str] = set()
        """Keys of stages whose result MLflow has."""

    def log(self, stage: Stage) -> None:
        """Brings a stage's run up to date: rows while it runs, its result when that is there."""
        unit = f"stage:{stage.key}"
        if stage.key in self.logged:
            return
        manifest = self.store.manifest(stage.key)
        if manifest is None and not self.store.checkpoints.names(stage.key):
            return
        if self.tracker.is_finished(unit):
            self.logged.add(stage.key)
            return
        run_id = self._open(unit, stage, manifest)
        if manifest is None:
            sent = self.tracker.rows_sent(unit)
            new = self.store.checkpoints.read_rows(stage.key, sent)
            self.tracker.log_rows(unit, [{}] * sent + new)
        else:
            self._log_result(unit, run_id, stage, manifest)

    def abandon(self, stage: Stage) -> None:
        """Shows a run that goes on as killed, because nobody waits for its stage any more."""
        self.tracker.kill(f"stage:{stage.key}")

    def _open(self, unit: str, stage: Stage, manifest: Manifest | None) -> str:
        reused = manifest is not None and manifest.metadata["finished"] < self._began
        tags = {
            tag.KIND: tag.STAGE_KIND,
            tag.KEY: stage.key,
            tag.FAMILY: stage.family,
            tag.REUSED: "stored before this study ran" if reused else "no",
        }
        params = flat({**stage.config.model_dump(mode="json"), "seed": stage.seed})
        name = f"{stage.family}: {stage.label}"
        return self.tracker.get_or_create_run(unit, name, self.parent, params, tags)

    def _log_result(self, unit: str, run_id: str, stage: Stage, manifest: Manifest) -> None:
        folder = self.store.open(stage.key)
        if stage.family != "evaluation":
            self.tracker.log_rows(unit, read_rows(folder))
        summary = json.loads((folder / "summary.json").read_text())
        metadata = manifest.metadata
        measured = {f"sys/{k}": v for k, v in metadata.items() if isinstance(v, float)}
        self.tracker.log_metrics(run_id, {**summary["numbers"], **measured}, metadata["finished"])
        if METRICS_FILE in manifest.files:  # results of an older version have none
            self.tracker.log_series(run_id, json.loads((folder / METRICS_FILE).read_text()))
        names = {f"{tag.PREFIX}{k}": v for k, v in metadata.items() if isinstance(v, str)}
        place = f"results/{stage.key}/{manifest.attempt}"  # below the store, wherever that moves
        self.tracker.set_tags(run_id, {**names, tag.RESULT: place})
        self.tracker.log_file(run_id, folder / "stage.json")
        log_pictures(self.tracker, run_id, folder)
        self.tracker.end(unit, "FINISHED")
        self.logged.add(stage.key)


def log_pictures(tracker: Tracker, run_id: str, folder: Path) -> None:
    """Sends a result's pictures, as artifacts of a run."""
    for picture in sorted(folder.glob("*.png")):
        tracker.log_file(run_id, picture, "pictures")


def read_rows(folder: Path) -> list[Row]:
    """Reads a result's rows: one per epoch, or per volume."""
    rows: list[Row] = json.loads((folder / "rows.json").read_text())
    return rows


def per_volume(rows: list[Row]) -> dict[str, float]:
    """Returns `test/<metric>/vol_<name>` for every volume, and `test/<metric>`, their mean."""
    names = [k for k, v in rows[0].items() if isinstance(v, float | int) and k != "time"]
    values = {f"test/{k}/vol_{row['volume']}": float(row[k]) for row in rows for k in names}
    means = {f"test/{k}": sum(row[k] for row in rows) / len(rows) for k in names}
    return {**values, **means}
