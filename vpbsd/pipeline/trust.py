"""Is a teacher worth listening to? Measured on a training group left out of its labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import mean

from vpbsd.pipeline.stage_config import Train

TEACHER, STUDENT = "teacher_score", "student_score"
"""Inputs of a student's stage: what a teacher and a Light UNet reach on the group left out."""
LEAD = "teacher_lead"
"""Number of a student's stage: the first less the second."""


def teacher_lead(inputs: Mapping[str, Path]) -> float | None:
    """Computes the teacher's DSC less the student's on the group left out; None: not measured."""
    if TEACHER not in inputs:
        return None
    return _dsc(inputs[TEACHER]) - _dsc(inputs[STUDENT])


def without_worse_teacher(config: Train, lead: float | None) -> Train:
    """Switches L_semi off where the teacher is worse than the student it is to teach.

    Its other terms stay: they do not rest on the teacher's masks.
    """
    if lead is None or lead >= 0:
        return config
    return config.model_copy(update={"method": config.method.model_copy(update={"beta": 0.0})})


def _dsc(evaluation: Path) -> float:
    """Averages DSC over the volumes of an evaluation."""
    rows = json.loads((evaluation / "rows.json").read_text())
    return mean(float(row["dsc"]) for row in rows)
