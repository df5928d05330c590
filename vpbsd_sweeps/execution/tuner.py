"""Ray Tune as sweeps and searches use it: light coordinators, nothing kept but in our store."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import Any

from ray import tune

from vpbsd_sweeps.execution.jobs import SYSTEM_RETRIES

COORDINATOR_BYTES = 150 * 2**20  # what it takes where it runs, on any node; and no core


def run_tuned(
    coordinate: Callable[..., None], space: dict[str, Any] | None = None, **config: object
) -> tune.ResultGrid:
    """Runs trials under Tune to their end, each as a coordinator on any node of the cluster.

    Tune's own records lie in a folder that ends with the driver; a lost trial is tried again.
    Tune would answer Ctrl-C by waiting, for minutes if need be, until every coordinator has ended:
    it is told not to listen, so that Ctrl-C is the exception that it is everywhere else.

    Args:
        coordinate: What Tune calls in each of them.
        space: What each of them is given.
        config: Of `tune.TuneConfig`.
    """
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    with tempfile.TemporaryDirectory() as room:
        return tune.Tuner(
            tune.with_resources(coordinate, {"memory": COORDINATOR_BYTES}),
            param_space=space,
            tune_config=tune.TuneConfig(reuse_actors=True, **config),
            run_config=tune.RunConfig(
                storage_path=room,
                name="trials",
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=SYSTEM_RETRIES),
            ),
        ).fit()
