"""Lets all go wrong that may, at random moments, until a sweep has survived it; `make chaos`.

A reference study runs once in peace. Then the same study runs on fresh stores, and at seeded
random moments one of `faults.FAULTS` strikes, one after the other; whenever the driver ends before
its time, the same command is given again. In the end: the table is the reference's to the last
bit, no committed stage was trained again, MLflow has one finished run per sweep, trial and stage
with each row once, and nothing is left at work.

    python -m tests.chaos --seed 1
    python -m tests.chaos --faults 3 --only "lose a node" "fill the disk"
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from itertools import count
from pathlib import Path

from tests.sweeps.faults import CODES, FAULTS, World
from tests.sweeps.real_sweep import BEGUN, PATIENCE, command, table
from vpbsd import interruption
from vpbsd.data.phantom import SPACING_UM, phantom
from vpbsd.data.volume_checks import VolumeMetadata
from vpbsd.data.volume_writer import write_volume
from vpbsd_sweeps.tracking.tracker import open_tracker

SECONDS = 10.0
"""For which what goes away is away; leases lapse in twice that, suspended drivers take thrice."""
SETTLES = 60.0  # seconds within which workers of a study that has ended are gone


class Rehearsal:
    """Faults that strike a study, one after the other.

    Args:
        data: Of the study.
        faults: At least so many, of all kinds in turn, in a random order.
        seed: Of moments and order.
        kinds: Of faults.
        seconds: For which what goes away is away.

    Attributes:
        done: Faults that struck.
        log: A line for each of them.
    """

    def __init__(
        self, data: Path, faults: int, seed: int, kinds: list[str], seconds: float
    ) -> None:
        self.data, self.faults, self.seconds = data, faults, seconds
        self._rng = random.Random(seed)
        self._kinds, self._left = kinds, list[str]()
        self.done, self.log = 0, list[str]()
        self._began = time.monotonic()

    def world(self, home: Path) -> World:
        """Makes what the study rests on."""
        return World(home, command(self.data, "--seeds", "0,1"), self.seconds)

    def run(self, world: World) -> str:
        """Runs the study to its end, whatever strikes; returns what the last driver printed."""
        known: dict[str, str] = {}
        while True:
            noted = world.notes().count(BEGUN)
            driver, last = world.start(), ""
            while driver.poll() is None and world.notes().count(BEGUN) == noted:
                time.sleep(0.1)
            while driver.poll() is None and self.done < self.faults and last not in CODES:
                last = self._strike(world, driver) or last
            out, _ = driver.communicate(timeout=PATIENCE)
            assert driver.returncode in (CODES.get(last, 0), 0), (
                f"after {last}: exit {driver.returncode}\n{world.notes()[-3000:]}"
            )
            now = committed(world)
            assert {k: now.get(k) for k in known} == known, "a committed stage was made again"
            known = now
            if driver.returncode == 0:
                self.note(f"its end, {len(now)} stages stored")
                return out

    def _strike(self, world: World, driver: subprocess.Popen[str]) -> str | None:
        """Waits for a random moment and lets something happen, if there is what it happens to."""
        deadline = time.monotonic() + self._rng.uniform(0, self.seconds)
        while time.monotonic() < deadline:
            if driver.poll() is not None:
                return None
            time.sleep(0.1)
        self._left = self._left or self._rng.sample(self._kinds, len(self._kinds))
        kind = self._left.pop(0)
        if not FAULTS[kind](world):
            self._left.append(kind)
            return None
        self.done += 1
        self.note(f"fault {self.done}: {kind}")
        return kind

    def note(self, what: str) -> None:
        """Adds a line to the log, and shows it."""
        self.log.append(f"{time.monotonic() - self._began:5.0f} s  {what}")
        print(self.log[-1], flush=True)


def rehearse(
    home: Path,
    faults: int,
    seed: int,
    kinds: list[str] | None = None,
    seconds: float = SECONDS,
) -> list[str]:
    """Runs the whole rehearsal; returns its log.

    Args:
        home: An empty folder with a short path.
        faults, seed, kinds, seconds: See `Rehearsal`; all kinds by default.

    Raises:
        AssertionError: Something was lost, doubled or changed.
    """
    rehearsal = Rehearsal(make_data(home / "data"), 0, seed, kinds or list(FAULTS), seconds)
    with rehearsal.world(home / "calm") as calm:
        wanted, records = table(rehearsal.run(calm)), records_of(calm)
    rehearsal.faults = faults
    for number in count(1):
        if rehearsal.done >= faults:
            rehearsal.note(f"{faults} faults: same table, nothing trained twice, no zombies")
            return rehearsal.log
        before = rehearsal.done
        with rehearsal.world(home / f"s{number}") as world:
            found = table(rehearsal.run(world))
            assert found == wanted, f"another table: {found}, in peace {wanted}"
            assert records_of(world) == records, f"{records_of(world)}, in peace {records}"
            assert world.at_work(SETTLES) == [], "something is left at work"
        assert rehearsal.done > before, "a whole study passed, and nothing was there to strike"
    raise AssertionError


def committed(world: World) -> dict[str, str]:
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


def records_of(world: World) -> tuple[Counter[tuple[str, str]], dict[str, list[int]]]:
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


def make_data(folder: Path) -> Path:
    """Writes four generated volumes of four animals, three of them with a label."""
    for number in range(4):
        shape = (32, 64, 64)
        image, label = phantom(number, shape)
        facts = VolumeMetadata(shape, "uint16", SPACING_UM, f"animal{number}")
        write_volume(folder, f"v{number}", [image], facts, [label] if number < 3 else None)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=list(FAULTS), metavar="KIND")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="that outages last")
    args = parser.parse_args()
    interruption.listen()  # else its servers would outlive it
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # drivers must hear it in a background
    with tempfile.TemporaryDirectory(prefix="ch", dir="/tmp") as room:  # short, for Ray's sockets
        rehearse(Path(room), args.faults, args.seed, args.only, args.seconds)


if __name__ == "__main__":
    main()
