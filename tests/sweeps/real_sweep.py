"""A small study of real stages, and its driver as a program of its own."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

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
PATIENCE = 1500  # seconds for one run of a driver, on a busy machine
BEGUN = "stages side by side"
"""What a driver prints when its Ray is up and trials begin."""
SCRIPTS = Path(__file__).parents[2] / "sweeps"


def command(data: Path, *more: str) -> list[str]:
    """Returns the words of a driver, but for where results and records go."""
    words = [f"--set={path}={value}" for path, value in SETTINGS.items()]
    study = ["--data", str(data), "--arms", ARMS, "--study", "chaos", *more]
    return [sys.executable, str(SCRIPTS / "ablation.py"), *study, *words]


def table(out: str) -> list[str]:
    """Returns the lines of the tables that a driver printed."""
    return [line for line in out.splitlines() if line.startswith("|")]


class Sweep:
    """The study in a folder of its own, on a local Ray.

    Attributes:
        places: Words that say where its data, results and records are.
    """

    def __init__(self, home: Path, data: Path, tracking: str | None = None) -> None:
        self.home, self.data = home, data
        home.mkdir(exist_ok=True)
        self.tracking = tracking or f"sqlite:///{home}/mlflow.db"
        self.places = ["--store", str(home / "store"), "--tracking", self.tracking]
        self.command = [*command(data, "--cpus", "2"), *self.places]

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
