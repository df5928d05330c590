"""A search of toys as a program of its own: to be killed, or to lose its store for a while."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.sweeps.search_toys import ToySearch
from vpbsd.cli import run_main
from vpbsd_sweeps.drivers.search import drive
from vpbsd_sweeps.store.results import Store

TRIALS = 8
CPUS = int(os.environ.get("TOY_CPUS", "2"))


def main() -> None:
    """`python -m tests.sweeps.search_storm HOME STORE`: prints how each trial ended."""
    home, store = Path(sys.argv[1]), Store(sys.argv[2])
    search = ToySearch(home / "epochs.log", students_per_teacher=4)
    search.seconds = float(os.environ.get("TOY_SECONDS", "0.2"))
    _, journal = drive(search, store, f"sqlite:///{home}/mlflow.db", TRIALS, [], cpus=CPUS)
    for number, told in sorted(journal.outcomes.items()):
        print(number, told.outcome, [round(score, 6) for score in told.scores], flush=True)


if __name__ == "__main__":
    run_main(main)
