"""Trials under Ray Tune: each is a coordinator that asks for its stages in order and waits.

Waiting holds neither a GPU nor a core. The conductor runs the stages; a coordinator only passes
their rows on to Tune, and imports no torch.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

import ray
from ray import tune
from ray.exceptions import AuthenticationError, RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeps.address import cluster_address
from sweeps.conductor import (
    SYSTEM_RETRIES,
    Conductor,
    FlightState,
    News,
    View,
    conductor_name,
    line,
)
from sweeps.repeating import repeating
from sweeps.slices import Slice
from sweeps.store import Store
from sweeps.tickets import Order, Ticket
from vpbsd.command import end_gently
from vpbsd.errors import BadInput

NAMESPACE = "vpbsd"
LOOK_EVERY = 1.5  # seconds between looks at all flights
OBJECT_STORE_BYTES = 256 * 2**20  # rows and tickets only: weights go through the store
COORDINATOR_SHARE = 0.0001  # of the driver's node: no core, and never a node that may be lost


def coordinate(config: dict[str, Any], orders: dict[str, Order], url: str, session: str) -> None:
    """The trainable: asks for each stage of a trial, passes its rows on, holds nothing."""
    order = orders[config["trial"]]
    conductor = ray.get_actor(conductor_name(url), NAMESPACE)
    done = 0
    while done < len(order.tickets):
        ticket = order.tickets[done]
        state, reason = _follow(conductor, ticket, order, session)
        if state == "failed":
            tune.report({"outcome": "failed", "reason": f"{ticket.label}: {reason}"})
            return
        done = done + 1 if state == "stored" else 0  # again: an input vanished, start over
    tune.report({"outcome": "finished", "reason": ""})


def _follow(
    conductor: Any,  # noqa: ANN401 (an actor handle)
    ticket: Ticket,
    order: Order,
    session: str,
) -> tuple[FlightState, str]:
    """Waits for one stage, reporting its rows to Tune; lets go of it if Tune stops the trial."""
    rows = 0
    try:
        ray.get(conductor.want.remote(ticket, order.trial, session, order.rank))
        while True:
            news: News = ray.get(conductor.watch.remote(ticket.key, rows))
            for row in news.rows:
                rows += 1
                tune.report({"outcome": "running", "stage": ticket.label, **row})
            if news.state in ("stored", "failed", "again"):
                return news.state, news.reason
    except RayActorError:
        time.sleep(2)  # the conductor is being rebuilt; the store knows what is done
        return "again", "the conductor was lost"
    except SystemExit:
        conductor.leave.remote(ticket.key, order.trial)
        raise


def connect(cpus: int | None = None, *, local: bool = False) -> None:
    """Joins the cluster at RAY_ADDRESS or a head on this host, else starts a local Ray.

    A head is what `ray start --head` left; another program's own local Ray is none, and it would
    end with that program.

    Args:
        cpus: Cores of a local Ray; all by default.
        local: Always start one, whatever else runs on this host.

    Raises:
        BadInput: The cluster does not answer, or lets nobody in; a local Ray did not start.
    """
    if ray.is_initialized():
        return
    quiet: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "namespace": NAMESPACE,
    }
    there = None if local else cluster_address()
    if there is not None:
        try:
            ray.init(address=there, **quiet)
        except (AuthenticationError, ConnectionError, RuntimeError) as error:
            why = line(error).split(". ")[0]
            raise BadInput(
                f"the Ray cluster at {there} lets nobody in ({why}): it takes Ray "
                f"{ray.__version__}, the token of its head in ~/.ray/auth_token, and its "
                "RAY_AUTH_MODE (token by default)"
            ) from error
    else:
        own = {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
        try:
            ray.init(address="local", num_cpus=cpus, **quiet, **own)
        except Exception as error:  # Ray raises no class of its own here
            raise BadInput(
                f"a local Ray did not start ({line(error)}): the machine may be too busy or out "
                "of memory; give the same command again when it is not"
            ) from error
    end_gently()  # Ray has set a handler of its own


def describe() -> str:
    """The cluster in words."""
    have = ray.cluster_resources()
    gpus = f", {have['GPU']:.0f} GPUs" if have.get("GPU") else ", no GPU"
    return f"{have.get('CPU', 0):.0f} cores{gpus}"


def run_trials(
    orders: list[Order],
    store: Store,
    slices: dict[str, Slice],
    at_once: int,
    watch: Callable[[list[View]], None],
) -> dict[str, tuple[str, str]]:
    """Runs all trials of a study under Tune and returns (outcome, reason) of each.

    An outcome is finished, failed or interrupted: Tune answers Ctrl-C by stopping in good order.

    Args:
        orders: The trials.
        store: Where stages are looked up and committed.
        slices: Per family.
        at_once: Most trials alive at a time.
        watch: Called every second or two with all flights, from a thread of its own.
    """
    session = os.urandom(8).hex()
    conductor = conductor_of(store, slices)
    with watching(conductor, session, watch), tempfile.TemporaryDirectory() as room:
        results = _tuner(orders, store.url, session, at_once, room).fit()
    outcomes = {order.trial: ("interrupted", "") for order in orders}
    for result in results:
        metrics = result.metrics or {}  # none where a trial never began
        if metrics.get("outcome") in ("finished", "failed"):
            told = (str(metrics["outcome"]), str(metrics["reason"]))
            outcomes[metrics["config"]["trial"]] = told
        elif result.error:
            outcomes[metrics["config"]["trial"]] = ("failed", line(result.error))
    return outcomes


def watching(
    conductor: Any,  # noqa: ANN401 (an actor handle)
    session: str,
    watch: Callable[[list[View]], None],
) -> AbstractContextManager[None]:
    """Within, `watch` hears of all flights of a session every second or two."""

    def look() -> None:
        with suppress(RayActorError):  # it is being rebuilt
            watch(ray.get(conductor.overview.remote(session)))

    return repeating(look, LOOK_EVERY)


def conductor_of(store: Store, slices: dict[str, Slice]) -> Any:  # noqa: ANN401 (an actor handle)
    """The conductor of a store on this cluster, started if there is none.

    It stays on the driver's node if it can: losing it would stop every stage.

    Raises:
        BadInput: The store is a folder that some node does not see.
    """
    _check_everywhere(store)
    here = ray.get_runtime_context().get_node_id()
    conductor = (
        ray.remote(Conductor)
        .options(
            name=conductor_name(store.url),
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
            scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=True),
        )
        .remote(store.url, slices)
    )
    ray.get(conductor.use.remote(slices))  # it may be another driver's
    return conductor


def _check_everywhere(store: Store) -> None:
    """Lets every other node that is there look for the store's mark."""
    mark, here = store.mark(), ray.get_runtime_context().get_node_id()
    others = [n["NodeID"] for n in ray.nodes() if n["Alive"] and n["NodeID"] != here]
    look = ray.remote(num_cpus=0)(Store.check_mark)
    on = [NodeAffinitySchedulingStrategy(node, soft=False) for node in others if mark]
    looks = [look.options(scheduling_strategy=one).remote(store, mark) for one in on]
    for answer in looks:
        try:
            ray.get(answer)
        except RayTaskError as error:
            raise BadInput(str(error.cause)) from error
        except RayError:
            continue  # a node that was lost meanwhile needs to see nothing


def _host() -> str:
    """The driver's node, as Ray calls it."""
    here = ray.get_runtime_context().get_node_id()
    return next(str(n["NodeManagerAddress"]) for n in ray.nodes() if n["NodeID"] == here)


def _tuner(orders: list[Order], url: str, session: str, at_once: int, room: str) -> tune.Tuner:
    trainable = tune.with_parameters(
        coordinate, orders={o.trial: o for o in orders}, url=url, session=session
    )
    return tune.Tuner(
        tune.with_resources(trainable, {f"node:{_host()}": COORDINATOR_SHARE}),
        param_space={"trial": tune.grid_search([order.trial for order in orders])},
        tune_config=tune.TuneConfig(max_concurrent_trials=at_once, reuse_actors=True),
        run_config=tune.RunConfig(
            storage_path=room,
            name="trials",
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=SYSTEM_RETRIES),
        ),
    )
