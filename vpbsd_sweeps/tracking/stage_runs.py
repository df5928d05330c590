"""What MLflow is told of stages: one run per key, from the store alone, whoever asked for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vpbsd.pipeline.stages import Stage
from vpbsd_sweeps.execution.system_metrics import METRICS_FILE
from vpbsd_sweeps.store.results import Manifest, Store
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
        self._began = tracker.began(parent)
        self.told: set[str] = set()
        """Keys of stages whose whole result MLflow has."""

    def tell(self, stage: Stage) -> None:
        """Brings a stage's run up to date: rows while it runs, its result when that is there."""
        unit = f"stage:{stage.key}"
        if stage.key in self.told:
            return
        manifest = self.store.manifest(stage.key)
        if manifest is None and not self.store.checkpoints.names(stage.key):
            return
        if self.tracker.is_finished(unit):
            self.told.add(stage.key)
            return
        reused = manifest is not None and manifest.metadata["finished"] < self._began
        tags = {
            "vpbsd.kind": "stage",
            "vpbsd.key": stage.key,
            "vpbsd.family": stage.family,
            "vpbsd.reused": "stored before this study ran" if reused else "no",
        }
        params = flat({**stage.config.model_dump(mode="json"), "seed": stage.seed})
        name = f"{stage.family}: {stage.label}"
        run_id = self.tracker.ensure(unit, name, self.parent, params, tags)
        if manifest is None:
            sent = self.tracker.sent(unit)
            self.tracker.rows(
                unit, [{}] * sent + self.store.checkpoints.read_rows(stage.key, sent)
            )
            return
        self._finished(unit, run_id, stage, manifest)

    def leave(self, stage: Stage) -> None:
        """Nobody waits for a stage any more: a run of it that goes on is shown as killed."""
        self.tracker.kill(f"stage:{stage.key}")

    def _finished(self, unit: str, run_id: str, stage: Stage, manifest: Manifest) -> None:
        folder = self.store.open(stage.key)
        if stage.family != "evaluation":
            self.tracker.rows(unit, rows_of(folder))
        summary = json.loads((folder / "summary.json").read_text())
        facts = manifest.metadata
        numbers = {k: v for k, v in facts.items() if isinstance(v, float)}
        self.tracker.numbers(
            run_id,
            {**summary["numbers"], **{f"sys/{k}": v for k, v in numbers.items()}},
            facts["finished"],
        )
        if METRICS_FILE in manifest.files:  # results of an older version have none
            self.tracker.series(run_id, json.loads((folder / METRICS_FILE).read_text()))
        told = {f"vpbsd.{k}": v for k, v in facts.items() if isinstance(v, str)}
        link = f"{self.store.url}/results/{stage.key}/{manifest.attempt}"
        self.tracker.tags(run_id, {**told, "vpbsd.result": link})
        self.tracker.file(run_id, folder / "stage.json")
        show(self.tracker, run_id, folder)
        self.tracker.end(unit, "FINISHED")
        self.told.add(stage.key)


def show(tracker: Tracker, run_id: str, folder: Path) -> None:
    """A result's pictures, as artefacts of a run."""
    for picture in sorted(folder.glob("*.png")):
        tracker.file(run_id, picture, "pictures")


def rows_of(folder: Path) -> list[Row]:
    """A result's rows: one per epoch, or per volume."""
    rows: list[Row] = json.loads((folder / "rows.json").read_text())
    return rows
