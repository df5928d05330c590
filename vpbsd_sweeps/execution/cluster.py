"""Joins or starts a Ray cluster, and finds the one scheduler of a store on it."""

from __future__ import annotations

import logging
from typing import Any

import ray
from ray.exceptions import AuthenticationError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vpbsd.errors import BadInput
from vpbsd.interruption import listen
from vpbsd_sweeps.execution.address import cluster_address
from vpbsd_sweeps.execution.scheduler import StageScheduler, scheduler_name
from vpbsd_sweeps.execution.slices import Slice
from vpbsd_sweeps.messages import last_line
from vpbsd_sweeps.store.files import FileStore
from vpbsd_sweeps.store.results import Store

NAMESPACE = "vpbsd"
OBJECT_STORE_BYTES = 256 * 2**20  # rows and jobs only: weights go through the store


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
            why = last_line(error).split(". ")[0]
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
                f"a local Ray did not start ({last_line(error)}): the machine may be too busy or "
                "out of memory; give the same command again when it is not"
            ) from error
    listen()  # Ray has set a handler of its own


def resources() -> str:
    """Says in words what the cluster has."""
    have = ray.cluster_resources()
    gpus = f", {have['GPU']:.0f} GPUs" if have.get("GPU") else ", no GPU"
    return f"{have.get('CPU', 0):.0f} cores{gpus}"


def get_scheduler(store: Store, slices: dict[str, Slice]) -> Any:  # noqa: ANN401 (an actor handle)
    """Finds the scheduler of a store on this cluster, or starts one.

    It stays on the driver's node if it can: losing it would stop every stage.

    Raises:
        BadInput: The store is a folder that some node does not see.
    """
    _check_everywhere(store)
    here = ray.get_runtime_context().get_node_id()
    scheduler = (
        ray.remote(StageScheduler)
        .options(
            name=scheduler_name(store.url),
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
            scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=True),
        )
        .remote(store.url, slices)
    )
    ray.get(scheduler.use.remote(slices))  # it may be another driver's
    return scheduler


def _check_everywhere(store: Store) -> None:
    """Lets every other node that is there look for the store's mark."""
    mark, here = store.files.mark(), ray.get_runtime_context().get_node_id()
    others = [n["NodeID"] for n in ray.nodes() if n["Alive"] and n["NodeID"] != here]
    check = ray.remote(num_cpus=0)(FileStore.check_mark)
    places = [NodeAffinitySchedulingStrategy(node, soft=False) for node in others if mark]
    checks = [check.options(scheduling_strategy=p).remote(store.files, mark) for p in places]
    for pending in checks:
        try:
            ray.get(pending)
        except RayTaskError as error:
            raise BadInput(str(error.cause)) from error
        except RayError:
            continue  # a node that was lost meanwhile needs to see nothing
