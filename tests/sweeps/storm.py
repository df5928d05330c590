"""A sweep of toys as a program of its own, for test_toy_chaos.py to kill."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.sweeps.toys import Toy
from vpbsd.cli import run_main
from vpbsd_sweeps.execution import cluster
from vpbsd_sweeps.execution.jobs import JobChain, job_of
from vpbsd_sweeps.execution.slices import Slice
from vpbsd_sweeps.execution.trials import run_trials
from vpbsd_sweeps.store.results import Store

EPOCHS = 4


def trials(home: Path) -> list[Toy]:
    """Makes three students of one teacher; with home's log of epochs."""
    teacher = Toy("teacher", home / "epochs.log", epochs=EPOCHS, seconds=0.3)
    return [
        Toy(f"student{n}", home / "epochs.log", {"start": teacher}, epochs=EPOCHS, seconds=0.3)
        for n in range(3)
    ]


def main() -> None:
    home = Path(sys.argv[1])
    cluster.connect(cpus=2, local=True)
    chains = [
        JobChain(toy.label, tuple(job_of(above) for above in toy.lineage()))
        for toy in trials(home)
    ]
    store, slices = Store(str(home / "store")), {"student": Slice()}
    ran = run_trials(chains, store, slices, 3, lambda views: None)
    if any(outcome == "interrupted" for outcome, _ in ran.values()):
        raise KeyboardInterrupt
    print(sorted(ran.items()), flush=True)


if __name__ == "__main__":
    run_main(main)
