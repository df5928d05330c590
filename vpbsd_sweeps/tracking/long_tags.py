"""Tags of any length: one that MLflow's databases cannot hold is an artefact, which the tag names.

Volume -> group of more than some 200 volumes is such a tag. PostgreSQL refuses it when a run is
made; a tag that is set later is cut off by MLflow itself, and is no JSON any more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient
from mlflow.entities import Run

from vpbsd_sweeps.tracking.tags import PREFIX

LONGEST = 8000
"""Characters of a tag in MLflow's tables."""
NAMES = "artifact:"
"""What a tag begins with whose value is an artefact: its path follows."""
FOLDER = "tags"


def is_long(value: object) -> bool:
    """Tells whether a value is longer than a tag may be."""
    return len(str(value)) > LONGEST


def short(tags: Mapping[str, object]) -> dict[str, str]:
    """Returns those tags that MLflow takes as they are."""
    return {name: str(value) for name, value in tags.items() if not is_long(value)}


def store(client: MlflowClient, run_id: str, tags: Mapping[str, object]) -> dict[str, str]:
    """Sends long values of a run's tags as artefacts.

    Each value has a file of its own, so a reader finds the old value or the new one, whole.

    Returns:
        The tags as MLflow takes them; to be set when this has returned.
    """
    taken = short(tags)
    for name in tags.keys() - taken.keys():
        text = str(tags[name])
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        path = f"{FOLDER}/{name.removeprefix(PREFIX)}-{digest}.json"
        client.log_text(run_id, text, path)
        taken[name] = f"{NAMES}{path}"
    return taken


def whole(client: MlflowClient, run: Run) -> dict[str, str]:
    """Returns all tags of a run, long ones read from their artefacts."""
    return {
        name: _read(client, run.info.run_id, value.removeprefix(NAMES))
        if name.startswith(PREFIX) and value.startswith(NAMES)
        else value
        for name, value in run.data.tags.items()
    }


def _read(client: MlflowClient, run_id: str, path: str) -> str:
    with TemporaryDirectory(prefix="vpbsd-") as room:
        return Path(client.download_artifacts(run_id, path, room)).read_text("utf-8")
