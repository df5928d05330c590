"""Trials under Ray Tune: each is a coordinator that asks for its stages in order and waits.

Waiting holds neither a GPU nor a core. The scheduler runs the stages; a coordinator only passes
their rows on to Tune, and imports no torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import ray
from ray import tune

from vpbsd_sweeps.execution.client import follow, watching
from vpbsd_sweeps.execution.cluster import NAMESPACE, get_scheduler
from vpbsd_sweeps.execution.events import StageState, StageStatus
from vpbsd_sweeps.execution.jobs import JobChain, Waiter
from vpbsd_sweeps.execution.scheduler import scheduler_name
from vpbsd_sweeps.execution.slices import Slice
from vpbsd_sweeps.execution.tuner import run_tuned
from vpbsd_sweeps.messages import last_line
from vpbsd_sweeps.store.results import Store


def coordinate(config: dict[str, Any], chains: dict[str, Any], url: str, session: str) -> None:
    """Trains a trial, as Tune calls it: follows its stages in order and holds nothing."""
    chain: JobChain = ray.get(chains[config["trial"]])  # no other trial's
    scheduler = ray.get_actor(scheduler_name(url), NAMESPACE)
    waiter, done = Waiter(session, chain.trial), 0
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

    An outcome is finished, failed or, where Tune was told to stop (by SIGUSR1), interrupted.

    Args:
        chains: The trials.
        store: Where stages are looked up and committed.
        slices: Per family.
        at_once: Most trials alive at a time.
        watch: Called every second or two with all stages, from a thread of its own.

    Raises:
        KeyboardInterrupt: Ctrl-C; what no other driver waits for is stopped.
    """
    session = os.urandom(8).hex()
    scheduler = get_scheduler(store, slices)
    kept = {chain.trial: ray.put(chain) for chain in chains}
    trainable = tune.with_parameters(coordinate, chains=kept, url=store.url, session=session)
    space = {"trial": tune.grid_search(list(kept))}
    with watching(scheduler, session, watch):
        results = run_tuned(trainable, space, max_concurrent_trials=at_once)
    outcomes = {chain.trial: ("interrupted", "") for chain in chains}
    for result in results:
        metrics = result.metrics or {}  # none where a trial never began
        if metrics.get("outcome") in ("finished", "failed"):
            ended = (str(metrics["outcome"]), str(metrics["reason"]))
            outcomes[metrics["config"]["trial"]] = ended
        elif result.error:
            outcomes[metrics["config"]["trial"]] = ("failed", last_line(result.error))
    return outcomes
