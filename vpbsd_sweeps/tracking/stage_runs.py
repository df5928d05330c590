"""Stages in MLflow: one run per key, filled from the store alone, whoever needs them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vpbsd.pipeline.stages import Stage
from vpbsd_sweeps.execution.checkpointing import SPENT
from vpbsd_sweeps.execution.system_metrics import METRICS_FILE
from vpbsd_sweeps.store.manifest import Manifest
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.store.survey import glance, inspect_all
from vpbsd_sweeps.tracking import tags as tag
from vpbsd_sweeps.tracking.tracker import Tracker, flat

Row = dict[str, Any]
SMALL = ("*.json", "*.png")
"""Files of a result that MLflow hears of; weights and targets stay where they are."""
LEVEL = "stages"
"""Name of the run that stages are filed under."""


class StageLogger:
    """Runs of stages, filed under a run of their own: a level that MLflow shows folded up.

    Args:
        store: Results, and rows of what is running.
        tracker: The experiment.
        parent: Its run; what was stored before that began is shown as reused.
        places: Key -> folds and seed that a stage belongs to, for its name.
    """

    def __init__(
        self, store: Store, tracker: Tracker, parent: str, places: Mapping[str, str] | None = None
    ) -> None:
        self.store, self.tracker, self._places = store, tracker, places or {}
        self._began = tracker.start_time(parent)
        self._level = _open_level(tracker, parent)
        self._followed: dict[str, Mapping[str, int]] = {}
        self.logged: dict[str, str] = {}
        """Key of each stage whose result MLflow has -> why it is void, or ""."""

    def catch_up(self, stages: Iterable[Stage]) -> None:
        """Brings runs of stages up to date: rows while they run, results when they are there.

        The store is listed, and then asked for nothing but what has changed since the last time.
        """
        left = {stage.key: stage for stage in stages if stage.key not in self.logged}
        there = glance(self.store) if left else None
        if there is None:
            return
        found = inspect_all(self.store, (key for key in left if key in there.results))
        for key, stage in left.items():
            manifest = found[key][1] if key in found else None
            if manifest is not None:
                self._log_stored(stage, manifest)
            elif key in there.running and there.running[key] != self._followed.get(key):
                self._follow(stage)
                self._followed[key] = there.running[key]

    def abandon(self, stage: Stage) -> None:
        """Shows a run that goes on as killed, because nobody waits for its stage any more."""
        self.tracker.kill(_unit(stage))
        self._followed.pop(stage.key, None)

    def _follow(self, stage: Stage) -> None:
        """Sends the new rows of a running stage."""
        if self.tracker.is_finished(_unit(stage)):
            return  # it is made again, to the last bit
        self._open(stage, None)
        sent = self.tracker.rows_sent(_unit(stage))
        new = self.store.checkpoints.read_rows(stage.key, sent)
        self.tracker.log_rows(_unit(stage), [{}] * sent + new)

    def _log_stored(self, stage: Stage, manifest: Manifest) -> None:
        if not self.tracker.is_finished(_unit(stage)):
            self._log_result(self._open(stage, manifest), stage, manifest)
        self.logged[stage.key] = manifest.metadata["void"] or ""
        self._followed.pop(stage.key, None)

    def _open(self, stage: Stage, manifest: Manifest | None) -> str:
        reused = manifest is not None and manifest.metadata["finished"] < self._began
        tags = {
            tag.KIND: tag.STAGE_KIND,
            tag.KEY: stage.key,
            tag.FAMILY: stage.family,
            tag.REUSED: "stored before this study ran" if reused else "no",
        }
        params = flat({**stage.config.model_dump(mode="json"), "seed": stage.seed})
        name = ", ".join(filter(None, (_name(stage), self._places.get(stage.key))))
        known = self.tracker.has_tag(_unit(stage), tag.UNIT)
        began = None if known else self._began_at(stage, manifest)
        return self.tracker.get_or_create_run(_unit(stage), name, self._level, params, tags, began)

    def _began_at(self, stage: Stage, manifest: Manifest | None) -> float:
        """Returns when a stage began, as if it had never been interrupted."""
        if manifest is not None:
            return float(manifest.metadata["finished"]) - float(manifest.metadata["seconds"])
        note = self.store.checkpoints.load(stage.key, SPENT)
        progress = json.loads(note) if note else {}
        return float(progress.get("time", time.time()) - progress.get("seconds", 0.0))

    def _log_result(self, run_id: str, stage: Stage, manifest: Manifest) -> None:
        files, metadata = self.store.read(stage.key, *SMALL), manifest.metadata
        if stage.family != "evaluation":
            self.tracker.log_rows(_unit(stage), json.loads(files["rows.json"]))
        measured = {f"sys/{k}": v for k, v in metadata.items() if isinstance(v, float)}
        numbers = json.loads(files["summary.json"])["numbers"]
        self.tracker.log_metrics(run_id, {**numbers, **measured}, metadata["finished"])
        if METRICS_FILE in files:  # results of an older version have none
            self.tracker.log_series(run_id, json.loads(files[METRICS_FILE]))
        names = {f"{tag.PREFIX}{k}": v for k, v in metadata.items() if isinstance(v, str)}
        place = f"results/{stage.key}/{manifest.attempt}"  # below the store, wherever that moves
        self.tracker.set_tags(run_id, {**names, tag.RESULT: place})
        self.tracker.log_text(run_id, files["stage.json"].decode(), "stage.json")
        log_pictures(self.tracker, run_id, files)
        self.tracker.end(_unit(stage), "FINISHED", metadata["finished"])


def _open_level(tracker: Tracker, parent: str) -> str:
    """Returns the run that all stages are filed under; it is never at work itself."""
    run_id = tracker.get_or_create_run(LEVEL, LEVEL, parent, {}, {tag.KIND: tag.LEVEL_KIND})
    if not tracker.is_finished(LEVEL):
        tracker.end(LEVEL, "FINISHED")
    return run_id


def _name(stage: Stage) -> str:
    """Returns a stage's name: its family, and its label where that says more."""
    return stage.family if stage.label == stage.family else f"{stage.family}: {stage.label}"


def log_pictures(tracker: Tracker, run_id: str, files: Mapping[str, bytes]) -> None:
    """Sends those of some files that are pictures, as artifacts of a run."""
    with TemporaryDirectory(prefix="vpbsd-") as room:
        for name in sorted(name for name in files if name.endswith(".png")):
            (Path(room) / name).write_bytes(files[name])
            tracker.log_file(run_id, Path(room) / name, "pictures")


def per_volume(rows: list[Row]) -> dict[str, float]:
    """Returns `test/<metric>/vol_<name>` for every volume, and `test/<metric>`, their mean."""
    names = [k for k, v in rows[0].items() if isinstance(v, float | int) and k != "time"]
    values = {f"test/{k}/vol_{row['volume']}": float(row[k]) for row in rows for k in names}
    means = {f"test/{k}": sum(row[k] for row in rows) / len(rows) for k in names}
    return {**values, **means}


def _unit(stage: Stage) -> str:
    return f"stage:{stage.key}"
