"""Kills a sweep at random moments until it has survived enough; `make chaos`.

A reference study runs once in peace. Then the same study runs in fresh stores, and its driver,
a worker or everything at once is killed at seeded random moments, always followed by the same
command again. In the end: the table is the reference's to the last bit, no committed stage was
trained again, and MLflow has one finished run per sweep, trial and stage.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from vpbsd.data.phantom import SPACING_UM, phantom
from vpbsd.data.volume_checks import VolumeMetadata
from vpbsd.data.volume_writer import write_volume
from vpbsd_sweeps.tracking.tracker import open_tracker

SETTINGS = {
    "data.patch": "[32,32,64]",
    "protocol.folds": "2",
    "sampling.patches": "4",
    "pretrain.network.codebook.size": "3",
    "pretrain.network.codebook.warm": "0.5",
    "pretrain.optim.epochs": "6",
    "pretrain.optim.steps_per_epoch": "5",
    "pretrain.optim.batch": "2",
    "finetune.epochs": "3",
    "finetune.steps_per_epoch": "2",
    "student.optim.epochs": "4",
    "student.optim.steps_per_epoch": "3",
}
ARMS = "light_unet,vpbsd"
HOW = ("SIGKILL the driver", "SIGTERM the driver", "SIGINT the driver", "SIGKILL a worker")
PATIENCE = 300
BEGUN = "stages side by side"
"""What a driver prints when its Ray is up and trials begin."""


class Sweep:
    """One study in a folder of its own, and its driver."""

    def __init__(self, home: Path, data: Path) -> None:
        self.home = home
        home.mkdir(exist_ok=True)
        words = [f"--set={path}={value}" for path, value in SETTINGS.items()]
        places = ["--data", data, "--store", home / "store"]
        self.tracking = f"sqlite:///{home}/mlflow.db"
        places += ["--tracking", self.tracking]
        script = Path(__file__).parents[1] / "sweeps" / "ablation.py"
        study = ["--arms", ARMS, "--study", "chaos", "--cpus", "2"]
        self.command = [sys.executable, script, *places, *study, *words]

    def start(self) -> subprocess.Popen[str]:
        """Starts the driver, in a process group of its own."""
        with (self.home / "stderr").open("a") as errors:
            return subprocess.Popen(
                [str(word) for word in self.command],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
                env={**os.environ, "VPBSD_CHECKPOINT_SECONDS": "0"},
            )

    def notes(self) -> str:
        """Reads all that its drivers printed of their progress."""
        path = self.home / "stderr"
        return path.read_text() if path.exists() else ""

    def committed(self) -> dict[str, str]:
        """Returns key -> attempt of every committed stage."""
        found = self.home.glob("store/results/*/manifest.json")
        return {path.parent.name: json.loads(path.read_text())["attempt"] for path in found}

    def runs(self) -> Counter[tuple[str, str]]:
        """Counts MLflow's runs by kind and status."""
        tracker = open_tracker(self.tracking, "chaos")
        return Counter((r.tags["vpbsd.kind"], r.status) for r in tracker.runs())


def rehearse(home: Path, kills: int, seed: int, longest: float = 25.0) -> list[str]:
    """Runs the whole rehearsal; returns its log.

    Args:
        home: An empty folder.
        kills: At least so many.
        seed: Of moments and kinds.
        longest: Seconds after trials began within which something is killed.

    Raises:
        AssertionError: Something was lost, doubled or changed.
    """
    log: list[str] = []
    data, rng = _data(home / "data"), random.Random(seed)
    calm = Sweep(home / "calm", data)
    table, wanted = _table(_finish(calm)), calm.runs()
    done = rounds = 0
    while done < kills:
        storm = Sweep(home / f"storm{rounds}", data)
        rounds += 1
        known: dict[str, str] = {}
        out = None
        while out is None:
            how = HOW[done % len(HOW)] if done < kills else None
            out, hit = _run(storm, how, rng.uniform(0, longest))
            done += hit
            now = storm.committed()
            assert {k: now.get(k) for k in known} == known, "a committed stage was made again"
            log.append(
                f"round {rounds}, kill {done}: {how if hit else 'ran to its end'}, "
                f"{len(now)} stages stored"
            )
            print(log[-1], flush=True)
            known = now
        assert _table(out) == table, f"another table:\n{_table(out)}\nbut in peace\n{table}"
        assert storm.runs() == wanted, f"runs {storm.runs()}, in peace {wanted}"
    log.append(f"{done} kills in {rounds} rounds: same table, nothing trained twice, no zombies")
    print(log[-1], flush=True)
    return log


def _data(folder: Path) -> Path:
    for number in range(4):
        shape = (32, 64, 64)
        image, label = phantom(number, shape)
        facts = VolumeMetadata(shape, "uint16", SPACING_UM, f"animal{number}")
        write_volume(folder, f"v{number}", [image], facts, [label] if number < 3 else None)
    return folder


def _finish(sweep: Sweep) -> str:
    driver = sweep.start()
    out, _ = driver.communicate(timeout=PATIENCE)
    assert driver.returncode == 0, sweep.notes()[-2000:]
    return out


def _run(sweep: Sweep, how: str | None, after: float) -> tuple[str | None, bool]:
    """Starts the driver and kills something; its output if it came to its end all the same."""
    noted = sweep.notes()
    driver = sweep.start()
    hit = False
    if how is not None:
        while driver.poll() is None and sweep.notes().count(BEGUN) == noted.count(BEGUN):
            time.sleep(0.1)
        try:
            out, _ = driver.communicate(timeout=after)
        except subprocess.TimeoutExpired:
            hit = kill(driver, how)
    out, _ = driver.communicate(timeout=PATIENCE)
    codes = {"SIGKILL the driver": -9, "SIGTERM the driver": 143, "SIGINT the driver": 130}
    expected = {codes[how]} if hit and how in codes else {0}
    assert driver.returncode in expected | {0}, (
        f"after {how}: exit {driver.returncode}\n{sweep.notes()[-2000:]}"
    )
    return (out if driver.returncode == 0 else None), hit


def kill(driver: subprocess.Popen[str], how: str) -> bool:
    """Kills in one of the ways of `HOW`; returns False where there was nothing to kill."""
    if how == "SIGKILL a worker":
        workers = _workers(driver.pid)
        if workers:
            os.kill(workers[0], signal.SIGKILL)
        return bool(workers)
    os.kill(driver.pid, getattr(signal, how.split()[0]))
    if how == "SIGKILL the driver":
        time.sleep(3)  # its Ray goes with it
    return True


def _workers(driver: int) -> list[int]:
    """Finds processes of this driver's Ray that run a stage: its label is their title."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True)
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()[1:]]
    parents = {int(pid): int(parent) for pid, parent, _ in rows}
    titled = [
        int(pid)
        for pid, _, title in rows
        if re.match(r"ray::(?!Cond|IDLE|coord|Impl|\w+Agent)", title)  # agents: a node's own
    ]
    return [pid for pid in titled if _descends(pid, driver, parents)]


def _descends(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid in parents and pid != ancestor:
        pid = parents[pid]
    return pid == ancestor


def _table(out: str) -> str:
    return "\n".join(line for line in out.splitlines() if line.startswith("|"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as room:
        rehearse(Path(room), args.kills, args.seed)
