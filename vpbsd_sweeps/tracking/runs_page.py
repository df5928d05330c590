"""The page of MLflow that opens on the point: a saved view of an experiment's trials, its address.

MLflow keeps views as tags of the experiment, and shows one whose key is in the address. Its own
default shows neither arm nor score.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from urllib.parse import quote

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from vpbsd_sweeps.tracking import tags as tag
from vpbsd_sweeps.tracking.tracker import Tracker

VIEW = "vpbsd"
TAG = f"mlflow.sharedViewState.{VIEW}"
NOTE = "mlflow.note.content"
"""What MLflow shows as the description of an experiment or of a run, as Markdown."""
OF_TRAINING = "workflowType=machine_learning"
"""What shows MLflow's menu for training; its own choice at first is that for language models."""
MOST_COLUMNS = 12
WIDTH = 90
"""Pixels of a column: half of MLflow's own, so that a screen shows all scores."""
MOST_NOTE = 8000
"""Characters that a tag of a run may have in MLflow."""


def save_view(tracker: Tracker, name: str, kind: str, columns: Sequence[str], by: str) -> None:
    """Saves how an experiment's runs are shown: those of a kind, the best first.

    It is saved once: what people change of it stays.

    Args:
        tracker: The experiment.
        name: Of the view, in MLflow's menu.
        kind: Of the runs that are shown.
        columns: Such as ``params.fold`` and ``metrics.test/dsc``; the first dozen are shown.
        by: The column to sort by, the highest value first.
    """
    if TAG in tracker.client.get_experiment(tracker.experiment_id).tags:
        return
    shown = [_column(name) for name in columns[:MOST_COLUMNS]]
    state = {
        "searchFilter": tag.of_kind(kind),
        "orderByKey": _column(by),
        "orderByAsc": False,
        "selectedColumns": shown,
        "columnOrder": shown,
        "columnWidths": dict.fromkeys(shown, WIDTH),
    }
    now = int(1000 * time.time())
    view = {"name": name, "createdAt": now, "updatedAt": now, "state": json.dumps(state)}
    tracker.client.set_experiment_tag(tracker.experiment_id, TAG, json.dumps(view))


def describe(tracker: Tracker, run_id: str, answer: str, table: str) -> None:
    """Describes an experiment by its answer, and a run by the answer and the table (Markdown)."""
    tracker.client.set_experiment_tag(tracker.experiment_id, NOTE, cut(answer))
    tracker.client.set_tag(run_id, NOTE, cut(f"**{answer}**\n\n{table}"))


def cut(text: str, most: int = MOST_NOTE) -> str:
    r"""Cuts a text after a whole line, if there is one, where MLflow takes no more, and says so.

    >>> cut("one\ntwo\nthree", 12)
    'one\ntwo\n...'
    >>> cut("one two three", 12)
    'one two\n...'
    """
    if len(text) <= most:
        return text
    end = "\n..."
    room = most - len(end)
    line = text.rfind("\n", 0, room)
    return text[: line if line > 0 else room].rstrip() + end


def runs_page(uri: str, experiment: str) -> str:
    """Returns what follows a server's address on the way to an experiment's trials, or "".

    Args:
        uri: Of MLflow, where the experiment is.
        experiment: Its name.
    """
    try:
        found = MlflowClient(uri).get_experiment_by_name(experiment)
    except MlflowException:  # the server went away: its own address is all that is known
        return ""
    if found is None:
        return ""
    view = f"&viewStateShareKey={quote(VIEW)}" if TAG in found.tags else ""
    return f"/#/experiments/{found.experiment_id}/runs?{OF_TRAINING}{view}"


def _column(name: str) -> str:
    """Writes a column as MLflow names it.

    >>> _column("metrics.test/dsc")
    'metrics.`test/dsc`'
    """
    section, _, key = name.partition(".")
    return f"{section}.`{key}`"
