"""Trials under Ray Tune: each is a coordinator that asks for its stages in order and waits.

Waiting holds neither a GPU nor a core. The scheduler runs the stages; a coordinator only passes
their rows on to Tune, and imports no torch.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import Any

import ray
from ray import tune

from vpbsd_sweeps.execution.client import follow, watching
from vpbsd_sweeps.execution.cluster import NAMESPACE, get_scheduler
from vpbsd_sweeps.execution.events import StageState, StageStatus
from vpbsd_sweeps.execution.jobs import SYSTEM_RETRIES, JobChain, Waiter
from vpbsd_sweeps.execution.scheduler import scheduler_name
from vpbsd_sweeps.execution.slices import Slice
from vpbsd_sweeps.messages import last_line
from vpbsd_sweeps.store.results import Store

COORDINATOR_BYTES = 150 * 2**20  # what it takes where it runs, on any node; and no core


def coordinate(config: dict[str, Any], chains: dict[str, Any], url: str, session: str) -> None:
    """Trains a trial, as Tune calls it: follows its stages in order and holds nothing."""
    chain: JobChain = ray.get(chains[config["trial"]])  # no other trial's
    scheduler = ray.get_actor(scheduler_name(url), NAMESPACE)
    waiter, done = Waiter(session, chain.trial, chain.rank), 0
    while done < len(chain.jobs):
        job = chain.jobs[done]

        def on_row(row: dict[str, Any], label: str = job.label) -> None:
            tune.report({"outcome": "running", "stage": label, **row})

        state, reason = follow(scheduler, job, waiter, on_row)
        if state is StageState.FAILED:
            tune.report({"outcome": "failed", "reason": f"{job.label}: {reason}"})
            return
        done = done + 1 if state is StageState.STORED else 0  # an input vanished: start over
    tune.report({"outcome": "finished", "reason": ""})


def run_trials(
    chains: list[JobChain],
    store: Store,
    slices: dict[str, Slice],
    at_once: int,
    watch: Callable[[list[StageStatus]], None],
) -> dict[str, tuple[str, str]]:
    """Runs all trials of a study under Tune and returns (outcome, reason) of each.

    An outcome is finished, failed or interrupted: Tune answers Ctrl-C by stopping in good order.

    Args:
        chains: The trials.
        store: Where stages are looked up and committed.
        slices: Per family.
        at_once: Most trials alive at a time.
        watch: Called every second or two with all stages, from a thread of its own.
    """
    session = os.urandom(8).hex()
    scheduler = get_scheduler(store, slices)
    with watching(scheduler, session, watch), tempfile.TemporaryDirectory() as room:
        results = _tuner(chains, store.url, session, at_once, room).fit()
    outcomes = {chain.trial: ("interrupted", "") for chain in chains}
    for result in results:
        metrics = result.metrics or {}  # none where a trial never began
        if metrics.get("outcome") in ("finished", "failed"):
            ended = (str(metrics["outcome"]), str(metrics["reason"]))
            outcomes[metrics["config"]["trial"]] = ended
        elif result.error:
            outcomes[metrics["config"]["trial"]] = ("failed", last_line(result.error))
    return outcomes


def _tuner(chains: list[JobChain], url: str, session: str, at_once: int, room: str) -> tune.Tuner:
    kept = {chain.trial: ray.put(chain) for chain in chains}
    trainable = tune.with_parameters(coordinate, chains=kept, url=url, session=session)
    return tune.Tuner(
        coordinator(trainable),
        param_space={"trial": tune.grid_search([chain.trial for chain in chains])},
        tune_config=tune.TuneConfig(max_concurrent_trials=at_once, reuse_actors=True),
        run_config=run_config(room),
    )


def coordinator(trainable: Callable[..., None]) -> Callable[..., None]:
    """Returns what Tune calls, with what it takes: memory, on any node of the cluster."""
    light: Callable[..., None] = tune.with_resources(trainable, {"memory": COORDINATOR_BYTES})
    return light


def run_config(room: str) -> tune.RunConfig:
    """Lets Tune keep its own records in a folder that ends with the driver, and retry trials."""
    return tune.RunConfig(
        storage_path=room,
        name="trials",
        verbose=0,
        failure_config=tune.FailureConfig(max_failures=SYSTEM_RETRIES),
    )
