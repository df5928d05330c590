"""The registered student as MLflow loads it: models-from-code, so nothing is pickled.

MLflow runs this file; together with `sweeps/tracking.py` it is all that knows mlflow.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from mlflow.pyfunc import PythonModel

from vpbsd.data.intensity import normalise
from vpbsd.inference.segment import SETTINGS
from vpbsd.inference.sliding_window import blocks, predict_block
from vpbsd.networks.build import load_network


class Student(PythonModel):  # type: ignore[misc]
    """A raw volume (z, y, x) in, its vessels (z, y, x) as 0 and 1 out."""

    def load_context(self, context: Any) -> None:  # noqa: ANN401 (MLflow's)
        """Reads weights and settings from the artefacts."""
        folder = Path(context.artifacts["student"])
        settings = json.loads((folder / SETTINGS).read_text())
        self.patch, self.percentile = tuple(settings["patch"]), settings["clip_percentile"]
        self.network = load_network(folder)

    # without type hints: MLflow would take them for a schema of its own
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Clips and scales a volume (z, y, x) as in training, then segments it: uint8, 0 or 1."""
        volume = np.asarray(model_input)
        low, high = float(volume.min()), float(np.percentile(volume, self.percentile))
        mask = np.zeros(volume.shape, np.uint8)
        with torch.no_grad():
            for place in blocks(volume.shape, 256):
                answer = predict_block(
                    self.network,
                    lambda box: normalise(volume[box], low, high),
                    volume.shape,
                    self.patch,
                    place,
                )
                mask[place] = answer > 0.5
        return mask


mlflow.models.set_model(Student())
