"""What a cluster can ever give: its nodes now, and those its autoscaler may start."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
import yaml

from vpbsd.errors import BadInput
from vpbsd_sweeps.execution.memory import GB
from vpbsd_sweeps.execution.slices import ON_CORES, ON_GPUS, Slice
from vpbsd_sweeps.execution.tuner import COORDINATOR_BYTES

MORE_TRIALS = 6
"""Trials of a study alive beyond the slices: some wait while others' teachers are trained."""
AUTOSCALER = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` leaves a cluster's description on its head, on which sweeps are driven."""


@dataclass(frozen=True)
class Node:
    """Cores and GPUs of one node, how many of its kind there may be, and its memory.

    That is in GB (2^30 bytes), as far as stages may have it; infinite where it is not known.
    """

    cpus: float
    gpus: float
    count: int = 1
    memory: float = math.inf


def offered(needs: Mapping[str, float]) -> dict[str, Slice]:
    """Chooses slices for the cluster at hand.

    Args:
        needs: Family -> GB (2^30 bytes) that a stage of it takes without a GPU.

    Raises:
        BadInput: A slice would wait for ever.
    """
    there = nodes()
    pieces = slices(there, needs)
    check(pieces, there)
    return pieces


def fit(pieces: Mapping[str, Slice]) -> dict[str, int]:
    """Counts, for each family, how many stages the cluster at hand holds side by side."""
    there = nodes()
    return {family: side_by_side(piece, there) for family, piece in pieces.items()}


def nodes() -> list[Node]:
    """Lists nodes that are there and kinds that may come, each of these at its most."""
    file = AUTOSCALER.expanduser()
    live = [_node(n["Resources"]) for n in ray.nodes() if n["Alive"]]
    return described(yaml.safe_load(file.read_text()), live) if file.exists() else live


def described(cluster: Mapping[str, Any], live: list[Node]) -> list[Node]:
    """Adds the nodes of a cluster description to those that are there, each kind at its most."""
    most = int(cluster.get("max_workers", 0))
    kinds = [
        _node(kind.get("resources", {}), min(int(kind.get("max_workers", most)), most))
        for name, kind in cluster["available_node_types"].items()
        if name != cluster["head_node_type"]
    ]
    shapes = {(kind.cpus, kind.gpus) for kind in kinds}  # those that run already are among them
    others = [node for node in live if (node.cpus, node.gpus) not in shapes]
    return [*others, *(kind for kind in kinds if kind.count)]


def slices(there: list[Node], needs: Mapping[str, float]) -> dict[str, Slice]:
    """Chooses slices: shares of a GPU where there is or may be one, else a core and its memory.

    One that no node has memory for is tried on all that the largest can spare: needs are guessed,
    and trials alive take some, of which it may have all.

    Args:
        there: The nodes.
        needs: Family -> GB (2^30 bytes) that a stage of it takes without a GPU.
    """
    if any(node.gpus >= 1 for node in there):
        return ON_GPUS
    largest = max(node.memory for node in there)
    if not all(math.isfinite(node.memory) for node in there):
        return ON_CORES  # Ray starts no node for memory that its description does not name
    alive = sum(node.count * node.cpus for node in there) + MORE_TRIALS
    spare = largest - min(alive * COORDINATOR_BYTES / GB, largest / 2)
    return {
        family: replace(piece, memory=min(needs.get(family, 0.0), spare))
        for family, piece in ON_CORES.items()
    }


def side_by_side(piece: Slice, there: list[Node]) -> int:
    """Counts the stages of this slice that fit on all nodes at a time, at least one."""
    return max(1, sum(node.count * _fits(piece, node) for node in there) // piece.ranks)


def check(pieces: Mapping[str, Slice], there: list[Node]) -> None:
    """Refuses a slice that would wait for ever.

    Raises:
        BadInput: No node there is, or may be, is large enough for it.
    """
    for family, piece in pieces.items():
        if sum(node.count * _fits(piece, node) for node in there) < piece.ranks:
            largest = max(there, key=lambda node: (node.gpus, node.cpus))
            times = f"{piece.ranks} times " if piece.ranks > 1 else ""
            raise BadInput(
                f"a {family} stage asks for {times}{piece.cpus} cores and {piece.gpus:g} GPUs, "
                f"but the largest node there can be has {largest.cpus:.0f} cores and "
                f"{largest.gpus:g} GPUs: start larger nodes or more of them"
            )


def _fits(piece: Slice, node: Node) -> int:
    most = [node.cpus / piece.cpus]
    most += [node.gpus / piece.gpus] if piece.gpus else []
    most += [node.memory / piece.memory] if piece.memory else []
    return int(min(most))


def _node(resources: Mapping[str, float], count: int = 1) -> Node:
    cpus, gpus = (float(resources.get(name, 0)) for name in ("CPU", "GPU"))
    return Node(cpus, gpus, count, float(resources.get("memory", math.inf)) / GB)
