"""What may go wrong in a sweep: processes that are killed, servers and nodes that go and come."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.sweeps.s3 import S3Server
from tests.sweeps.servers import MlflowServer, free_port

HOW = ("SIGKILL the driver", "SIGTERM the driver", "SIGINT the driver", "SIGKILL a worker")
"""Those for which a sweep needs nothing but a local Ray."""
WORKER = r"ray::(?!IDLE|coord|Impl|StageScheduler|\w+Agent)"  # the label of its stage follows
COORDINATOR, SCHEDULER = r"ray::Impl", r"ray::StageScheduler"
JOINS_WITHIN = 60.0


def kill(driver: subprocess.Popen[str], how: str) -> bool:
    """Kills in one of the ways of `HOW`; returns False where there was nothing to kill."""
    if how == "SIGKILL a worker":
        return kill_some(below(driver.pid, WORKER), 1)
    os.kill(driver.pid, getattr(signal, how.split()[0]))
    if how == "SIGKILL the driver":
        time.sleep(3)  # its own Ray goes with it
    return True


def kill_some(found: list[int], number: int) -> bool:
    """Kills so many of some processes; returns False, and kills none, where there are fewer."""
    if len(found) < number:
        return False
    for pid in found[:number]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return True


def below(ancestor: int, title: str) -> list[int]:
    """Finds the processes below one whose title matches; dead ones that nobody waits for too."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True)
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()[1:]]
    parents = {int(row[0]): int(row[1]) for row in rows}
    titled = [int(row[0]) for row in rows if re.match(title, row[2])]
    return [pid for pid in titled if _descends(pid, ancestor, parents)]


def _descends(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid in parents and pid != ancestor:
        pid = parents[pid]
    return pid == ancestor


class RayCluster:
    """A head and a node with a core each, as programs of their own.

    Args:
        home: A folder with a short path, for Ray's sockets.
        env: What its processes need to reach the store.
    """

    def __init__(self, home: Path, env: dict[str, str]) -> None:
        self.home, self.port, self._env = home, free_port(), env
        self.address = f"127.0.0.1:{self.port}"
        self.head = self._start("--head", f"--port={self.port}", f"--temp-dir={home}")
        self.node = self._join()

    def lose_node(self) -> None:
        """Kills the node with all that runs there; another one joins."""
        self._end(self.node)
        self.node = self._join()

    def kill(self, title: str, number: int = 1) -> bool:
        """Kills processes with a title, on any node."""
        return kill_some(self.find(title), number)

    def find(self, title: str) -> list[int]:
        """Finds the processes on all nodes whose title matches."""
        return [pid for top in (self.head, self.node) for pid in below(top.pid, title)]

    def stop(self) -> None:
        """Ends all of it."""
        for top in (self.node, self.head):
            self._end(top)

    def _join(self) -> subprocess.Popen[bytes]:
        deadline = time.monotonic() + JOINS_WITHIN
        while True:
            node = self._start(f"--address={self.address}")
            with suppress(subprocess.TimeoutExpired):
                node.wait(timeout=8)
                assert time.monotonic() < deadline, "a node does not join"
                continue
            return node

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        ray = Path(sys.executable).with_name("ray")
        common = ["--block", "--num-cpus=1", "--num-gpus=0", "--disable-usage-stats"]
        env = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        with (self.home / "ray.log").open("ab") as log:
            return subprocess.Popen(
                [str(ray), "start", *words, *common],
                env=env | self._env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _end(self, top: subprocess.Popen[bytes]) -> None:
        for pid in below(top.pid, ""):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        top.wait()


class World:
    """All that a sweep rests on: S3, MLflow's server, a cluster, and its driver.

    Args:
        home: A folder with a short path.
        command: Of the driver, but for where things are.
        seconds: For which what goes away is away.
    """

    def __init__(self, home: Path, command: list[str], seconds: float) -> None:
        self.home, self._command, self.seconds = home, command, seconds
        home.mkdir()
        self.s3, self.mlflow = S3Server(), MlflowServer(home)
        self.store = "s3://results/store"
        here = {"VPBSD_CHECKPOINT_SECONDS": "0", "VPBSD_CACHE": str(home / "cache")}
        here |= {"VPBSD_LEASE_SECONDS": str(2 * seconds), "RAY_worker_niceness": "0"}
        self.env = self.s3.env | here
        self.driver: subprocess.Popen[str] | None = None

    def __enter__(self) -> World:
        self.s3.__enter__()
        self.mlflow.start()
        self.cluster = RayCluster(self.home, self.env)
        return self

    def __exit__(self, *error: object) -> None:
        if self.driver is not None and self.driver.poll() is None:
            self.driver.kill()
            self.driver.communicate()
        self.cluster.stop()
        self.mlflow.stop()
        self.s3.__exit__()

    def at_work(self, seconds: float) -> list[int]:
        """Waits until no stage and no trial runs any more; returns those that go on."""
        deadline = time.monotonic() + seconds
        while left := self.cluster.find(f"{WORKER}|{COORDINATOR}"):
            if time.monotonic() > deadline:
                break
            time.sleep(0.5)
        return left

    def start(self) -> subprocess.Popen[str]:
        """Starts the driver."""
        self.driver = self._start(self.cluster.address)
        return self.driver

    def _start(self, ray: str, *more: str) -> subprocess.Popen[str]:
        """Starts a driver on some Ray, in a process group of its own."""
        places = ["--store", self.store, "--tracking", self.mlflow.uri]
        with (self.home / "stderr").open("a") as errors:
            return subprocess.Popen(
                [*self._command, *places, *more],
                env={**os.environ, **self.env, "RAY_ADDRESS": ray},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )

    def notes(self) -> str:
        """Reads all that its drivers printed beside their tables."""
        path = self.home / "stderr"
        return path.read_text() if path.exists() else ""

    def _signal(self, name: str) -> bool:
        assert self.driver is not None
        os.kill(self.driver.pid, getattr(signal, name))
        return True

    def suspend(self) -> bool:
        """Stops the driver for longer than its lease lasts, and lets it go on."""
        self._signal("SIGSTOP")
        time.sleep(3 * self.seconds)
        return self._signal("SIGCONT")

    def lose_mlflow(self) -> bool:
        """Kills MLflow's server and starts it again."""
        self.mlflow.stop()
        time.sleep(self.seconds)
        self.mlflow.start()
        return True

    def lose_store(self, what: str) -> bool:
        """Answers requests with 503 for a while: all of them, or those that write."""
        setattr(self.s3, what, True)
        time.sleep(self.seconds)
        setattr(self.s3, what, False)
        return True

    def add_cluster(self) -> bool:
        """Runs another study of the same stages on the same store, on a Ray of its own."""
        beside = self._start("local", "--study", "beside", "--cpus", "1")
        with suppress(subprocess.TimeoutExpired):
            beside.communicate(timeout=2 * self.seconds)
        if beside.poll() is None:
            beside.kill()
            beside.communicate()
        return True


Fault = Callable[[World], bool]
"""Does something; returns False where there was nothing to do it to."""
FAULTS: dict[str, Fault] = {
    "SIGKILL the driver": lambda world: world._signal("SIGKILL"),
    "SIGTERM the driver": lambda world: world._signal("SIGTERM"),
    "SIGINT the driver": lambda world: world._signal("SIGINT"),
    "SIGKILL a worker": lambda world: world.cluster.kill(WORKER),
    "SIGKILL a coordinator": lambda world: world.cluster.kill(COORDINATOR),
    "SIGKILL the scheduler": lambda world: world.cluster.kill(SCHEDULER),
    "SIGKILL two workers": lambda world: world.cluster.kill(WORKER, 2),
    "suspend the driver": World.suspend,
    "lose MLflow": World.lose_mlflow,
    "lose the store": lambda world: world.lose_store("away"),
    "fill the disk": lambda world: world.lose_store("full"),
    "a second cluster": World.add_cluster,
    "lose a node": lambda world: not world.cluster.lose_node(),
}
CODES = {"SIGKILL the driver": -9, "SIGTERM the driver": 143, "SIGINT the driver": 130}
"""What a driver ends with that was hit while it ran; after all others it goes on."""
