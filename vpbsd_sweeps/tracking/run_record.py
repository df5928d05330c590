"""A run as the rest of the program sees it, and which of several runs of one unit counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from vpbsd_sweeps.tracking.tags import ROWS_SENT, UNIT


@dataclass(frozen=True)
class RunRecord:
    """A run as MLflow has it.

    Attributes:
        status: RUNNING, FINISHED, FAILED or KILLED.
        ended: Milliseconds since 1970, or 0 while it runs.
        metrics: The newest value of each.
    """

    run_id: str
    name: str
    status: str
    ended: int
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]


def record_of(run: Run, tags: Mapping[str, str]) -> RunRecord:
    """Copies out of MLflow's object what others may see of a run; its tags are read whole."""
    info, data = run.info, run.data
    name, ended = str(info.run_name), int(info.end_time or 0)
    return RunRecord(
        str(info.run_id), name, str(info.status), ended, tags, data.params, data.metrics
    )


def search(
    client: MlflowClient, experiment: str, condition: str, *, deleted: bool
) -> Iterator[Run]:
    """Yields all runs of an experiment that meet a condition, the newest first, page by page."""
    token: str | None = None
    view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
    while True:
        page = client.search_runs([experiment], condition, view, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def one_per_unit(runs: Iterable[Run]) -> dict[str, Run]:
    """Picks of each unit the run that knows most, of equals the oldest; newest come first."""
    found: dict[str, Run] = {}
    for run in runs:
        unit = run.data.tags.get(UNIT)
        if unit is not None and (unit not in found or _progress(run) >= _progress(found[unit])):
            found[unit] = run
    return found


def _progress(run: Run) -> tuple[bool, int]:
    return run.info.status == "FINISHED", int(run.data.tags.get(ROWS_SENT, 0))
