"""Puts a trained student into MLflow's model registry: code and files, nothing is pickled."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import mlflow
import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

from vpbsd.inference.model import load_model
from vpbsd_sweeps.tracking import tags as tag
from vpbsd_sweeps.tracking.tracker import Tracker


def register(
    tracker: Tracker, name: str, folder: Path, scores: Mapping[str, float], tags: dict[str, str]
) -> str:
    """Returns the model version of a folder's student; made once, whatever was cut off before.

    The version's run holds the cross-validated scores and the card.
    """
    unit, kind = f"final:{tags[tag.FINAL_STAGE]}", {tag.KIND: tag.FINAL_KIND}
    run_id = tracker.get_or_create_run(unit, "final student", None, {}, {**kind, **tags})
    known = tracker.client.search_model_versions(f"name = '{name}'")
    version = next((str(v.version) for v in known if v.run_id == run_id), None)
    if version is None:
        tracker.log_metrics(run_id, {f"cross_validated/{k}": v for k, v in scores.items()}, 0.0)
        tracker.log_file(run_id, folder / "card.md")
        version = _log_model(tracker.uri, run_id, name, folder)
    for key, value in tags.items():
        tracker.client.set_model_version_tag(name, version, key, value)
    tracker.client.update_model_version(name, version, (folder / "card.md").read_text())
    tracker.end(unit, "FINISHED")
    return version


def _log_model(uri: str, run_id: str, name: str, folder: Path) -> str:
    mlflow.set_tracking_uri(uri)
    with mlflow.start_run(run_id=run_id), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*(type hints|input example)")  # the signature says it
        logged = mlflow.pyfunc.log_model(
            name="student",
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={"student": str(folder)},
            signature=_volume_signature(),
            metadata={"trained_on": str(load_model(folder, "cpu"))},
            pip_requirements=["vpbsd"],
            registered_model_name=name,
        )
    return str(logged.registered_model_version)


def _volume_signature() -> ModelSignature:
    """Describes a mask (z, y, x) as output, and the voxel size as a parameter.

    Of the input it says nothing: a signature would admit one type of number alone.
    """
    mask = Schema([TensorSpec(np.dtype("uint8"), (-1, -1, -1))])
    spacing = ParamSpec("spacing", DataType.double, [], (-1,))
    return ModelSignature(outputs=mask, params=ParamSchema([spacing]))
