"""Lets all go wrong that may, at random moments, until a sweep has survived it; `make chaos`.

A reference study runs once in peace. Then the same study runs on fresh stores, and at seeded
random moments one of `faults.FAULTS` strikes; whenever the driver ends, the same command is given
again. In the end: the table is the reference's to the last bit, no committed stage was trained
again, MLflow has one finished run per sweep, trial and stage with each row once, and nothing is
left alive.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.sweeps.faults import CODES, FAULTS, World
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
PATIENCE = 1500  # seconds for one run of the driver, on a busy machine
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


def rehearse(home: Path, faults: int, seed: int, longest: float = 25.0) -> list[str]:
    """Runs the whole rehearsal; returns its log.

    Args:
        home: An empty folder with a short path.
        faults: At least so many, of all kinds in turn, in a random order.
        seed: Of moments and order.
        longest: Seconds after trials began within which something happens; what goes away is
            away for a little longer.

    Raises:
        AssertionError: Something was lost, doubled or changed.
    """
    log: list[str] = []
    data, rng = _data(home / "data"), random.Random(seed)
    kinds = list(FAULTS)
    rng.shuffle(kinds)
    with World(home / "calm", _command(data), 1.2 * longest) as calm:
        table, wanted = _table(_end(calm, calm.start())), _records(calm)
    done = rounds = 0
    while done < faults:
        world = World(home / f"s{rounds}", _command(data), 1.2 * longest)
        rounds += 1
        with world:
            known: dict[str, str] = {}
            out = None
            while out is None:
                how = kinds[done % len(kinds)] if done < faults else None
                out, hit = _run(world, how, rng.uniform(0, longest))
                done += hit
                now = _committed(world)
                assert {k: now.get(k) for k in known} == known, "a committed stage was made again"
                log.append(
                    f"round {rounds}, fault {done}: {how if hit else 'ran to its end'}, "
                    f"{len(now)} stages stored"
                )
                print(log[-1], flush=True)
                known = now
            assert _table(out) == table, f"another table:\n{_table(out)}\nbut in peace\n{table}"
            assert _records(world) == wanted, f"{_records(world)}, in peace {wanted}"
        assert world.left == [], f"left alive: {world.left}"
    log.append(f"{done} faults in {rounds} rounds: same table, nothing trained twice, no zombies")
    print(log[-1], flush=True)
    return log


def _command(data: Path) -> list[str]:
    words = [f"--set={path}={value}" for path, value in SETTINGS.items()]
    script = Path(__file__).parents[1] / "sweeps" / "ablation.py"
    study = ["--data", str(data), "--arms", ARMS, "--study", "chaos"]
    return [sys.executable, str(script), *study, *words]


def _committed(world: World) -> dict[str, str]:
    """Returns key -> attempt of every committed stage."""
    listed = world.s3.client.get_paginator("list_objects_v2").paginate(
        Bucket="results", Prefix="store/results/"
    )
    names = [one["Key"] for page in listed for one in page.get("Contents", ())]
    found = {}
    for name in (name for name in names if name.endswith("/manifest.json")):
        text = world.s3.client.get_object(Bucket="results", Key=name)["Body"].read()
        found[name.split("/")[-2]] = json.loads(text)["attempt"]
    return found


def _records(world: World) -> tuple[Counter[tuple[str, str]], dict[str, list[int]]]:
    """Counts MLflow's runs by kind and status, and lists the steps that each run's curves have."""
    tracker = open_tracker(world.mlflow.uri, "chaos")
    kinds: Counter[tuple[str, str]] = Counter()
    steps = {}
    for run in tracker.runs():
        kinds[run.tags["vpbsd.kind"], run.status] += 1
        if run.tags["vpbsd.kind"] == "stage":
            for name in ("loss", "val/dsc"):
                points = tracker.client.get_metric_history(run.run_id, name)
                steps[f"{run.tags['vpbsd.key']} {name}"] = sorted(p.step for p in points)
    return kinds, steps


def _data(folder: Path) -> Path:
    for number in range(4):
        shape = (32, 64, 64)
        image, label = phantom(number, shape)
        facts = VolumeMetadata(shape, "uint16", SPACING_UM, f"animal{number}")
        write_volume(folder, f"v{number}", [image], facts, [label] if number < 3 else None)
    return folder


def _end(world: World, driver: subprocess.Popen[str]) -> str:
    out, _ = driver.communicate(timeout=PATIENCE)
    assert driver.returncode == 0, world.notes()[-2000:]
    return out


def _run(world: World, how: str | None, after: float) -> tuple[str | None, bool]:
    """Starts the driver and lets something happen; its output if it came to its end."""
    noted = world.notes().count(BEGUN)
    world.driver = driver = world.start()
    hit = False
    if how is not None:
        while driver.poll() is None and world.notes().count(BEGUN) == noted:
            time.sleep(0.1)
        deadline = time.monotonic() + after
        while driver.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        hit = driver.poll() is None and FAULTS[how](world)
    out, _ = driver.communicate(timeout=PATIENCE)
    expected = CODES.get(how or "", 0) if hit else 0
    assert driver.returncode in (expected, 0), (
        f"after {how}: exit {driver.returncode}\n{world.notes()[-2000:]}"
    )
    return (out if driver.returncode == 0 else None), hit


def _table(out: str) -> str:
    return "\n".join(line for line in out.splitlines() if line.startswith("|"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=39)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=25.0, metavar="SECONDS")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ch", dir="/tmp") as room:  # short, for Ray's sockets
        rehearse(Path(room), args.faults, args.seed, args.longest)
