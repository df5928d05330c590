"""MLflow: runs, curves, pictures, and reading them back; only registering.py imports it too.

Only the driver uses it. What MLflow shows is a function of the study and the store: `deliver` may
be called at any time, by any driver, and brings every run up to date; how far a run got is a tag
of that run, and metrics carry the time they were measured, so that nothing is lost or doubled.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException
from requests import RequestException

from vpbsd.errors import BadInput
from vpbsd_sweeps.messages import without_secrets
from vpbsd_sweeps.tracking.connection import require_reachable

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a bar per picture
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # reaching.py tries again
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # a line per retry
Values = Mapping[str, object]
PARENT = "mlflow.parentRunId"
UNIT = "vpbsd.unit"
SENT = "vpbsd.rows"
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
            _make_folder(uri)
            self.client = MlflowClient(uri)
            found = self.client.get_experiment_by_name(experiment)
            self.experiment_id: str = (
                found.experiment_id
                if found
                else self.client.create_experiment(experiment, artifacts, OPENS_AS)
            )
            self._runs = _one_per_unit(self.runs())

    def mend(self) -> None:
        """Reads again which runs there are, after answers may have been lost.

        A request whose answer was lost may have been tried again: of two runs of a unit the one
        that knows less is deleted.
        """
        runs = list(self.runs())
        self._runs = _one_per_unit(runs)
        for run in runs:
            if UNIT in run.data.tags and self._runs[run.data.tags[UNIT]] is not run:
                self.client.delete_run(run.info.run_id)

    def runs(self, condition: str = "", *, deleted: bool = False) -> Iterator[Run]:
        """All runs of the experiment that meet a condition in MLflow's filter language.

        Those that were deleted in MLflow are only given, and then alone, if asked for.
        """
        token: str | None = None
        view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
        while True:
            page = self.client.search_runs([self.experiment_id], condition, view, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def ensure(
        self, unit: str, name: str, parent: str | None, params: Values, tags: Values
    ) -> str:
        """The id of the one run of a unit; made with its params and tags if it is new."""
        if unit not in self._runs:
            linked = {PARENT: parent} if parent else {}
            told = {UNIT: unit, **linked, **{k: str(v) for k, v in tags.items()}}
            run = self.client.create_run(self.experiment_id, run_name=name, tags=told)
            self._runs[unit] = run
        elif self._runs[unit].info.status == "KILLED":  # left by a driver that was interrupted
            self.reopen(unit)
        self._params(self._runs[unit], params)
        return str(self._runs[unit].info.run_id)

    def is_finished(self, unit: str) -> bool:
        """Whether the unit's run has ended with a result."""
        run = self._runs.get(unit)
        return run is not None and run.info.status == "FINISHED"

    def knows(self, unit: str, tag: str) -> bool:
        """Whether the unit's run has such a tag."""
        run = self._runs.get(unit)
        return run is not None and tag in run.data.tags

    def reopen(self, unit: str) -> None:
        """A unit that ended runs again; nothing where there is none."""
        if unit in self._runs:
            run_id = self._runs[unit].info.run_id
            self.client.update_run(run_id, status="RUNNING")
            self._runs[unit] = self.client.get_run(run_id)

    def rows(self, unit: str, rows: list[dict[str, Any]], step: str = "epoch") -> None:
        """Rows of a curve beyond those sent already; each row is one step."""
        run = self._runs[unit]
        sent = int(run.data.tags.get(SENT, 0))
        metrics = [
            Metric(_name(k), float(v), int(1000 * row["time"]), int(row.get(step, sent + i)))
            for i, row in enumerate(rows[sent:])
            for k, v in row.items()
            if isinstance(v, float | int) and k not in ("time", step)
        ]
        if len(rows) > sent:
            self._metrics(run.info.run_id, metrics, [RunTag(SENT, str(len(rows)))])
            run.data.tags[SENT] = str(len(rows))

    def sent(self, unit: str) -> int:
        """Rows of a unit that MLflow has."""
        return int(self._runs[unit].data.tags.get(SENT, 0))

    def numbers(self, run_id: str, numbers: Mapping[str, float], when: float) -> None:
        """Scalars of a finished unit."""
        at = int(1000 * when)
        self._metrics(run_id, [Metric(_name(k), v, at, 0) for k, v in numbers.items()], [])

    def series(self, run_id: str, rows: list[dict[str, float]]) -> None:
        """Curves over time, told as a whole."""
        metrics = [
            Metric(_name(k), v, int(1000 * row["time"]), i)
            for i, row in enumerate(rows)
            for k, v in row.items()
            if k != "time"
        ]
        self._metrics(run_id, metrics, [])

    def tags(self, run_id: str, tags: Values) -> None:
        """Sets tags."""
        self.client.log_batch(run_id, tags=[RunTag(k, str(v)) for k, v in tags.items()])

    def file(self, run_id: str, path: Path, folder: str | None = None) -> None:
        """An artefact."""
        self.client.log_artifact(run_id, str(path), folder)

    def text(self, run_id: str, text: str, name: str) -> None:
        """A text as an artefact."""
        self.client.log_text(run_id, text, name)

    def folder(self, run_id: str, folder: Path, name: str) -> None:
        """All files of a folder, as artefacts under a name."""
        self.client.log_artifacts(run_id, str(folder), name)

    def history(self, run_id: str, metric: str) -> dict[int, float]:
        """A metric's curve, step -> value; the newest where a step was told twice."""
        points = self.client.get_metric_history(run_id, metric)
        ordered = sorted(points, key=lambda p: (p.step, p.timestamp))
        return {int(p.step): float(p.value) for p in ordered}

    def files(self, run_id: str, folder: str) -> list[str]:
        """Paths of the artefacts in a folder, sorted."""
        return sorted(f.path for f in self.client.list_artifacts(run_id, folder) if not f.is_dir)

    def content(self, run_id: str, path: str) -> bytes:
        """An artefact."""
        with TemporaryDirectory(prefix="vpbsd-") as room:
            return Path(self.client.download_artifacts(run_id, path, room)).read_bytes()

    def end(self, unit: str, status: str) -> None:
        """FINISHED, FAILED or KILLED."""
        run_id = self._runs[unit].info.run_id
        self.client.set_terminated(run_id, status)
        self._runs[unit] = self.client.get_run(run_id)

    def began(self, run_id: str) -> float:
        """When a run was begun first, in seconds since 1970."""
        return float(self.client.get_run(run_id).info.start_time) / 1000

    def kill(self, unit: str) -> None:
        """Shows a unit that goes on as killed; nothing where there is none."""
        run = self._runs.get(unit)
        if run is not None and run.info.status == "RUNNING":
            self.end(unit, "KILLED")

    def end_running(self, status: str) -> None:
        """Ends every run that has not ended."""
        for unit, run in list(self._runs.items()):
            if run.info.status == "RUNNING":
                self.end(unit, status)

    def _params(self, run: Run, params: Values) -> None:
        """Those parameters that a run does not have yet, in batches."""
        told = {_name(k): str(v) for k, v in params.items()}
        new = [Param(k, v) for k, v in told.items() if k not in run.data.params]
        for i in range(0, len(new), MOST_PARAMS):
            self.client.log_batch(run.info.run_id, params=new[i : i + MOST_PARAMS])
        run.data.params.update(told)

    def _metrics(self, run_id: str, metrics: list[Metric], tags: list[RunTag]) -> None:
        """Batches of metrics; the tags come with the last one, when all of them have arrived."""
        starts = range(0, max(len(metrics), 1), MOST_METRICS)
        for i in starts:
            last = tags if i == starts[-1] else []
            self.client.log_batch(run_id, metrics[i : i + MOST_METRICS], tags=last)


def open_tracker(uri: str, study: str) -> Tracker:
    """A finished or running study, for reading: makes neither database nor experiment.

    Raises:
        BadInput: No such database or study; the studies there are named.
    """
    file = _sqlite_file(uri)
    if file is not None and not file.exists():
        raise BadInput(f"no MLflow database at {file}: run a sweep first, or pass --tracking URI")
    with require_reachable(uri):
        client = MlflowClient(uri)
        found = client.get_experiment_by_name(study)
    if found is None:
        names = [e.name for e in client.search_experiments() if e.name != "Default"]
        raise BadInput(
            f"there is no study '{study}' at {without_secrets(uri)}; known are "
            f"{', '.join(names) or 'none'}"
        )
    return Tracker(uri, study)


def _one_per_unit(runs: Iterable[Run]) -> dict[str, Run]:
    """Of each unit the run that knows most, of equals the oldest; the newest run comes first."""
    found: dict[str, Run] = {}
    for run in runs:
        unit = run.data.tags.get(UNIT)
        if unit is not None and (unit not in found or _known(run) >= _known(found[unit])):
            found[unit] = run
    return found


def _known(run: Run) -> tuple[bool, int]:
    return run.info.status == "FINISHED", int(run.data.tags.get(SENT, 0))


def flat(value: object, prefix: str = "") -> dict[str, object]:
    """Nested settings as one level of dotted names."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        name: inner
        for key, one in value.items()
        for name, inner in flat(one, f"{prefix}.{key}" if prefix else str(key)).items()
    }


def decode(text: str) -> Any:  # noqa: ANN401 (whatever JSON holds)
    """A tag's JSON."""
    return json.loads(text)


def _name(text: str) -> str:
    """A name MLflow takes: letters, digits and ``_-. :/``."""
    return re.sub(r"[^\w\-. :/]", "_", text)


def _sqlite_file(uri: str) -> Path | None:
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def _make_folder(uri: str) -> None:
    file = _sqlite_file(uri)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
