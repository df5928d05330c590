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
from numpy.typing import NDArray

from vpbsd.data.intensity import normalise
from vpbsd.infer import blocks, predict_block
from vpbsd.networks.build import load_network
from vpbsd.segment import SETTINGS


class Student(PythonModel):  # type: ignore[misc]
    """A raw volume (z, y, x) in, its vessels (z, y, x) as 0 and 1 out."""

    def load_context(self, context: Any) -> None:  # noqa: ANN401 (MLflow's)
        """Reads weights and settings from the artefacts."""
        folder = Path(context.artifacts["student"])
        settings = json.loads((folder / SETTINGS).read_text())
        self.patch, self.percentile = tuple(settings["patch"]), settings["clip_percentile"]
        self.network = load_network(folder)

    def predict(
        self,
        context: Any,  # noqa: ANN401 (MLflow's)
        model_input: NDArray[np.generic],
        params: dict[str, Any] | None = None,
    ) -> NDArray[np.uint8]:
        """Clips and scales the volume as in training, then segments it."""
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
