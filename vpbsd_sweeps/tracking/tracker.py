"""One experiment of MLflow: its runs, curves and files, written and read back.

What MLflow shows is a function of the study and the store, so a driver brings it up to date at any
time, and nothing is lost or doubled: a unit of work (a trial, a stage) has one run, how many rows
of its curve have arrived is a tag of that run, and metrics carry the time they were measured at.

Only this room and deployment/ import mlflow; others see a `RunRecord`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from requests import RequestException

from vpbsd.errors import BadInput
from vpbsd_sweeps.messages import without_secrets
from vpbsd_sweeps.tracking import long_tags
from vpbsd_sweeps.tracking.connection import require_reachable
from vpbsd_sweeps.tracking.run_record import RunRecord, one_per_unit, record_of, search
from vpbsd_sweeps.tracking.sqlite import prepare, sqlite_file
from vpbsd_sweeps.tracking.tags import PARENT, ROWS_SENT, UNIT
from vpbsd_sweeps.tracking.volume_names import metric_name, plain

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a bar per picture
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # RetryingTracker tries again
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # a line per retry
Values = Mapping[str, object]
OPENS_AS = {"mlflow.experimentKind": "custom_model_development"}  # else the UI shows it as GenAI
MOST_METRICS, MOST_PARAMS = 900, 90  # per request; MLflow takes 1000 and 100
AWAY = (MlflowException, RequestException)
"""What a call to MLflow raises when nobody answers, among other things."""


class Tracker:
    """One experiment of one tracking server or database.

    Args:
        uri: Of MLflow; a SQLite file is made if need be.
        experiment: Its name, that of the study.
        artifacts: Where a new experiment keeps its files, if the server does not say.

    Raises:
        BadInput: Nobody answers there, or it is no MLflow.
    """

    def __init__(self, uri: str, experiment: str, artifacts: str | None = None) -> None:
        self.uri, self.place = uri, without_secrets(uri)
        with require_reachable(uri):
            prepare(uri)
            self.client = MlflowClient(uri)
            found = self.client.get_experiment_by_name(experiment)
            self.experiment_id: str = (
                found.experiment_id
                if found
                else self.client.create_experiment(experiment, artifacts, OPENS_AS)
            )
            self._runs = one_per_unit(self._search())

    def runs(self, condition: str = "", *, deleted: bool = False) -> Iterator[RunRecord]:
        """Yields all runs that meet a condition in MLflow's filter language, the newest first.

        Those that were deleted in MLflow are only given, and then alone, if asked for.
        """
        for run in self._search(condition, deleted=deleted):
            yield record_of(run, long_tags.whole(self.client, run))

    def reload_runs(self) -> None:
        """Reads again which runs there are, after answers may have been lost.

        A request whose answer was lost may have been sent twice: of two runs of a unit the one
        that knows less is deleted.
        """
        runs = list(self._search())
        self._runs = one_per_unit(runs)
        for run in runs:
            if UNIT in run.data.tags and self._runs[run.data.tags[UNIT]] is not run:
                self.client.delete_run(run.info.run_id)

    def get_or_create_run(
        self,
        unit: str,
        name: str,
        parent: str | None,
        params: Values,
        tags: Values,
        began: float | None = None,
    ) -> str:
        """Returns the id of the one run of a unit; made with its params and tags if it is new.

        A new one began at a time in seconds since 1970, or now.
        """
        if unit not in self._runs:
            linked = {PARENT: parent} if parent else {}
            first = {UNIT: unit, **linked, **long_tags.short(tags)}
            at = None if began is None else int(1000 * began)
            run = self.client.create_run(self.experiment_id, at, first, name)
            self._runs[unit] = run
        elif self._runs[unit].info.status == "KILLED":  # left by a driver that was interrupted
            self.reopen(unit)
        self._log_params(self._runs[unit], params)
        self._log_long_tags(self._runs[unit], tags)
        return str(self._runs[unit].info.run_id)

    def is_finished(self, unit: str) -> bool:
        """Tells whether the unit's run has ended with a result."""
        run = self._runs.get(unit)
        return run is not None and run.info.status == "FINISHED"

    def has_tag(self, unit: str, tag: str) -> bool:
        """Tells whether the unit's run has such a tag."""
        run = self._runs.get(unit)
        return run is not None and tag in run.data.tags

    def reopen(self, unit: str) -> None:
        """Lets a unit that ended run again; does nothing where there is none."""
        if unit in self._runs:
            run_id = self._runs[unit].info.run_id
            self.client.update_run(run_id, status="RUNNING")
            self._runs[unit] = self.client.get_run(run_id)

    def end(self, unit: str, status: str, when: float | None = None) -> None:
        """Ends a unit's run as FINISHED, FAILED or KILLED, at a time since 1970, or now."""
        run_id = self._runs[unit].info.run_id
        self.client.set_terminated(run_id, status, None if when is None else int(1000 * when))
        self._runs[unit] = self.client.get_run(run_id)

    def kill(self, unit: str) -> None:
        """Shows a unit that goes on as killed; does nothing where there is none."""
        run = self._runs.get(unit)
        if run is not None and run.info.status == "RUNNING":
            self.end(unit, "KILLED")

    def end_running(self, status: str) -> None:
        """Ends every run that has not ended."""
        for unit, run in list(self._runs.items()):
            if run.info.status == "RUNNING":
                self.end(unit, status)

    def log_rows(self, unit: str, rows: list[dict[str, Any]], step: str = "epoch") -> None:
        """Sends the rows of a curve beyond those sent already; each row is one step."""
        run = self._runs[unit]
        sent = self.rows_sent(unit)
        metrics = [
            Metric(metric_name(k), float(v), int(1000 * row["time"]), int(row.get(step, sent + i)))
            for i, row in enumerate(rows[sent:])
            for k, v in row.items()
            if isinstance(v, float | int) and k not in ("time", step)
        ]
        if len(rows) > sent:
            self._log_batches(run.info.run_id, metrics, [RunTag(ROWS_SENT, str(len(rows)))])
            run.data.tags[ROWS_SENT] = str(len(rows))

    def rows_sent(self, unit: str) -> int:
        """Returns how many rows of a unit's curve MLflow has."""
        return int(self._runs[unit].data.tags.get(ROWS_SENT, 0))

    def log_metrics(self, run_id: str, numbers: Mapping[str, float], when: float) -> None:
        """Sends numbers that have no curve, measured at a time in seconds since 1970."""
        at = int(1000 * when)
        self._log_batches(
            run_id, [Metric(metric_name(k), v, at, 0) for k, v in numbers.items()], []
        )

    def log_series(self, run_id: str, rows: list[dict[str, float]]) -> None:
        """Sends curves over time, all at once."""
        metrics = [
            Metric(metric_name(k), v, int(1000 * row["time"]), i)
            for i, row in enumerate(rows)
            for k, v in row.items()
            if k != "time"
        ]
        self._log_batches(run_id, metrics, [])

    def set_tags(self, run_id: str, tags: Values) -> None:
        """Sets tags of a run; values of any length."""
        stored = long_tags.store(self.client, run_id, tags)
        self.client.log_batch(run_id, tags=[RunTag(k, v) for k, v in stored.items()])

    def log_file(self, run_id: str, path: Path, folder: str | None = None) -> None:
        """Sends a file, as an artifact."""
        self.client.log_artifact(run_id, str(path), folder)

    def log_text(self, run_id: str, text: str, name: str) -> None:
        """Sends a text, as an artifact of that name."""
        self.client.log_text(run_id, text, name)

    def log_folder(self, run_id: str, folder: Path, name: str) -> None:
        """Sends all files of a folder, as artifacts under a name."""
        self.client.log_artifacts(run_id, str(folder), name)

    def start_time(self, run_id: str) -> float:
        """Returns when a run was begun first, in seconds since 1970."""
        return float(self.client.get_run(run_id).info.start_time) / 1000

    def curve(self, run_id: str, metric: str) -> dict[int, float]:
        """Returns a metric by step; the newest value where a step arrived twice."""
        points = self.client.get_metric_history(run_id, metric)
        ordered = sorted(points, key=lambda p: (p.step, p.timestamp))
        return {int(p.step): float(p.value) for p in ordered}

    def list_files(self, run_id: str, folder: str) -> list[str]:
        """Returns the paths of the artifacts in a folder, sorted."""
        return sorted(f.path for f in self.client.list_artifacts(run_id, folder) if not f.is_dir)

    def read_file(self, run_id: str, path: str) -> bytes:
        """Downloads an artifact."""
        with TemporaryDirectory(prefix="vpbsd-") as room:
            return Path(self.client.download_artifacts(run_id, path, room)).read_bytes()

    def _search(self, condition: str = "", *, deleted: bool = False) -> Iterator[Run]:
        return search(self.client, self.experiment_id, condition, deleted=deleted)

    def _log_params(self, run: Run, params: Values) -> None:
        """Sends those parameters that a run does not have yet, in batches."""
        wanted = {plain(k): str(v) for k, v in params.items()}
        new = [Param(k, v) for k, v in wanted.items() if k not in run.data.params]
        for i in range(0, len(new), MOST_PARAMS):
            self.client.log_batch(run.info.run_id, params=new[i : i + MOST_PARAMS])
        run.data.params.update(wanted)

    def _log_long_tags(self, run: Run, tags: Values) -> None:
        """Sends those long tags that a run does not have yet."""
        new = {k: v for k, v in tags.items() if long_tags.is_long(v) and k not in run.data.tags}
        if new:
            self.set_tags(run.info.run_id, new)
            run.data.tags.update(dict.fromkeys(new, ""))

    def _log_batches(self, run_id: str, metrics: list[Metric], tags: list[RunTag]) -> None:
        """Sends metrics; the tags come with the last batch, when all of them have arrived."""
        starts = range(0, max(len(metrics), 1), MOST_METRICS)
        for i in starts:
            last = tags if i == starts[-1] else []
            self.client.log_batch(run_id, metrics[i : i + MOST_METRICS], tags=last)


def open_tracker(uri: str, study: str) -> Tracker:
    """Opens a finished or running study, for reading: makes neither database nor experiment.

    Raises:
        BadInput: No such database or study; the studies there are named.
    """
    if _client(uri).get_experiment_by_name(study) is None:
        raise BadInput(
            f"there is no study '{study}' at {without_secrets(uri)}; known are "
            f"{', '.join(study_names(uri)) or 'none'}"
        )
    return Tracker(uri, study)


def study_names(uri: str) -> list[str]:
    """Lists the studies and searches that MLflow knows, the newest first.

    Raises:
        BadInput: There is no such database, or nobody answers.
    """
    client, token, names = _client(uri), None, list[str]()
    while True:
        page = client.search_experiments(page_token=token)
        names += [experiment.name for experiment in page if experiment.name != "Default"]
        token = page.token
        if not token:
            return names


def flat(value: object, prefix: str = "") -> dict[str, object]:
    """Returns nested settings as one level of dotted names.

    >>> flat({"optim": {"epochs": 3}})
    {'optim.epochs': 3}
    """
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        name: leaf
        for key, inner in value.items()
        for name, leaf in flat(inner, f"{prefix}.{key}" if prefix else str(key)).items()
    }


def _client(uri: str) -> MlflowClient:
    """Connects for reading, where a database is and somebody answers."""
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        raise BadInput(f"no MLflow database at {file}: run a sweep first, or pass --tracking URI")
    with require_reachable(uri):
        prepare(uri)
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
    return client
