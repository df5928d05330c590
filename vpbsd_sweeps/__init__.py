r"""Sweeps of VpbSD: studies, plans, stages on a Ray cluster, MLflow.

What stands in `__all__` is public; all else may change. A study from Python:

    from vpbsd_sweeps import make_study, plan_study, run_study

    study = make_study(
        "gamma-half",
        data="data",  # a folder that `vpbsd import` filled; None: generated vessels
        arms=["light_unet", "vpbsd"],
        preset="laptop",
        changes={"student.gamma": 0.5, "protocol.folds": 2},
        seeds=[0],
    )
    plan = plan_study(study)  # trains nothing; stored stages are found in runs/store
    print("\n".join(plan.lines()))

    result = run_study(plan)  # the same again goes on where it was stopped
    print(result.table)
    for trial in result.trials:
        print(trial.arm, trial.fold, trial.seed, trial.score("dsc"))

Switches that Ray and MLflow read when they are imported are set here, before any of our modules
imports them.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

os.environ.setdefault("RAY_AUTH_MODE", "token")  # one mode on every node and in every script
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # MLflow holds the records
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

if TYPE_CHECKING:
    from vpbsd_sweeps.api import Plan, Study, StudyResult, make_study, plan_study, run_study
else:

    def __getattr__(name: str) -> object:
        """Imports a public name when it is first used: commands that need none start fast."""
        if name not in __all__:
            raise AttributeError(f"module 'vpbsd_sweeps' has no attribute '{name}'")
        return getattr(import_module("vpbsd_sweeps.api"), name)


__all__ = ["Plan", "Study", "StudyResult", "make_study", "plan_study", "run_study"]
