"""The search: studies, plans, stages on a Ray cluster, MLflow.

Switches that Ray and MLflow read when they are imported are set here, before any of our modules
imports them.
"""

import os

os.environ.setdefault("RAY_AUTH_MODE", "token")  # one mode on every node and in every script
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # MLflow holds the records
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
