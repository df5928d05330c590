"""What a cluster can ever give: its nodes now, and those its autoscaler may start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import yaml

from vpbsd.errors import BadInput
from vpbsd_sweeps.execution.slices import ON_CORES, ON_GPUS, Slice

AUTOSCALER = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` leaves a cluster's description on its head, on which sweeps are driven."""


@dataclass(frozen=True)
class Node:
    """Cores and GPUs of one node, and how many of its kind there may be."""

    cpus: float
    gpus: float
    count: int = 1


def offered() -> tuple[dict[str, Slice], int]:
    """Chooses slices for the cluster at hand, and counts how many students fit side by side.

    Raises:
        BadInput: A slice would wait for ever.
    """
    there = nodes()
    pieces = slices(there)
    check(pieces, there)
    return pieces, side_by_side(pieces["student"], there)


def nodes() -> list[Node]:
    """Lists nodes that are there and kinds that may come, each of these at its most."""
    file = AUTOSCALER.expanduser()
    live = [Node(*_both(n["Resources"])) for n in ray.nodes() if n["Alive"]]
    return described(yaml.safe_load(file.read_text()), live) if file.exists() else live


def described(cluster: Mapping[str, Any], live: list[Node]) -> list[Node]:
    """Adds the nodes of a cluster description to those that are there, each kind at its most."""
    most = int(cluster.get("max_workers", 0))
    kinds = [
        Node(*_both(kind.get("resources", {})), min(int(kind.get("max_workers", most)), most))
        for name, kind in cluster["available_node_types"].items()
        if name != cluster["head_node_type"]
    ]
    shapes = {(kind.cpus, kind.gpus) for kind in kinds}  # those that run already are among them
    others = [node for node in live if (node.cpus, node.gpus) not in shapes]
    return [*others, *(kind for kind in kinds if kind.count)]


def slices(there: list[Node]) -> dict[str, Slice]:
    """Chooses slices: shares of a GPU where there is or may be one, else a core each."""
    return ON_GPUS if any(node.gpus >= 1 for node in there) else ON_CORES


def side_by_side(piece: Slice, there: list[Node]) -> int:
    """Counts the stages of this slice that fit on all nodes at a time, at least one."""
    return max(1, sum(node.count * _fits(piece, node) for node in there))


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
    by_core = int(node.cpus // piece.cpus)
    return min(by_core, int(node.gpus / piece.gpus)) if piece.gpus else by_core


def _both(resources: Mapping[str, float]) -> tuple[float, float]:
    return float(resources.get("CPU", 0)), float(resources.get("GPU", 0))
