"""The registered student as MLflow loads it: models-from-code, so nothing is pickled.

MLflow runs this file by itself, from a copy beside the student's files.
"""

from __future__ import annotations

from typing import Any

import mlflow
from mlflow.pyfunc import PythonModel

from vpbsd.inference.model import load_model


class Student(PythonModel):  # type: ignore[misc]
    """A raw volume (z, y, x) in, its vessels (z, y, x) as 0 and 1 out."""

    def load_context(self, context: Any) -> None:  # noqa: ANN401 (MLflow's)
        """Loads the student from the artefacts, to a GPU where there is one."""
        self.student = load_model(context.artifacts["student"])

    # without type hints: MLflow would take them for a schema of its own
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Segments a volume (z, y, x) of any numeric type: classes as uint8, 0 is background.

        Of `params`, ``spacing`` is its voxel size (z, y, x) in um; empty: not known.
        """
        spacing = (params or {}).get("spacing", ())
        return self.student.predict(model_input, tuple(spacing) if len(spacing) else None)


mlflow.models.set_model(Student())
