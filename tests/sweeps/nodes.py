"""Programs that play a cluster of several nodes on one machine; test_nodes.py runs them.

Each is a process of its own, since a process can be in one Ray only.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from unittest import mock

import ray
from ray._private.node import Node
from ray.cluster_utils import Cluster

from tests.sweeps.toys import Toy
from vpbsd.cli import run_main
from vpbsd_sweeps.execution import cluster
from vpbsd_sweeps.execution.jobs import JobChain, job_of
from vpbsd_sweeps.execution.slices import Slice
from vpbsd_sweeps.execution.trials import run_trials
from vpbsd_sweeps.store.results import Store

EPOCHS = 6
STUDENTS = {"student": Slice()}


def chain(home: Path) -> list[Toy]:
    """Makes three stages, each on the one before; with home's log of epochs."""
    toys: list[Toy] = []
    for name in ("first", "second", "third"):
        above = {"start": toys[-1]} if toys else {}
        toys.append(Toy(name, home / "epochs.log", above, epochs=EPOCHS, seconds=0.7))
    return toys


def run(home: Path, store: str) -> None:
    last = chain(home)[-1]
    chain_of_jobs = JobChain("trial", tuple(job_of(toy) for toy in last.lineage()))
    print(run_trials([chain_of_jobs], Store(store), STUDENTS, 2, lambda views: None), flush=True)


class Nodes:
    """A cluster whose head, like that of ray_cluster.yaml, runs no stage."""

    def __init__(self) -> None:
        with mock.patch("ray._private.utils.write_ray_address"):  # no other script shall join it
            self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        ray.init(address=self.cluster.address, namespace=cluster.NAMESPACE, log_to_driver=False)

    def add(self) -> Node:
        """Adds one more node, with a core."""
        return self.cluster.add_node(num_cpus=1)

    def lose(self, node: Node) -> None:
        """Kills a node at once, as a spot instance is lost."""
        self.cluster.remove_node(node, allow_graceful=False)

    def lose_all(self) -> None:
        """Kills what is left of the cluster."""
        for node in (*self.cluster.worker_nodes, self.cluster.head_node):
            node.kill_all_processes(check_alive=False, allow_graceful=False)


def wait_for(home: Path, line: str) -> None:
    """Waits until the log of epochs holds a line."""
    while line not in (home / "epochs.log").read_text().splitlines():
        time.sleep(0.05)


def lose(home: Path, nodes: Nodes) -> None:
    """Loses a node while the second stage runs on it, and all while the third one does."""
    doomed = nodes.add()
    threading.Thread(target=run, args=(home, str(home / "store")), daemon=True).start()
    wait_for(home, "second 2")
    nodes.lose(doomed)
    assert "second 5" not in (home / "epochs.log").read_text(), "lost too late to show anything"
    nodes.add()
    wait_for(home, "third 2")
    nodes.lose_all()
    os._exit(9)


def anew(home: Path, store: str) -> None:
    """Runs on a wholly new Ray that finds nothing but the store."""
    cluster.connect(cpus=1, local=True)
    run(home, store)


def apart(home: Path, nodes: Nodes) -> None:
    """Runs on nodes that see other folders at one path: it leads through the process's own."""
    nodes.add()
    os.chdir(home)
    run(home, "/proc/self/cwd/store")


def main() -> None:
    """`python -m tests.sweeps.nodes lose|apart HOME` or `... anew HOME STORE`."""
    program, home = sys.argv[1], Path(sys.argv[2])
    if program == "anew":
        anew(home, sys.argv[3])
        return
    nodes = Nodes()
    try:
        {"lose": lose, "apart": apart}[program](home, nodes)
    finally:
        nodes.lose_all()


if __name__ == "__main__":
    run_main(main)
