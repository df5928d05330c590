"""A sweep of toys as a program of its own, for test_toy_chaos.py to kill."""

from __future__ import annotations

import sys
from pathlib import Path

from sweeps import cluster
from sweeps.slices import Slice
from sweeps.store import Store
from sweeps.tickets import Order, ticket
from tests.sweeps.toys import Toy
from vpbsd.command import answer

EPOCHS = 4


def trials(home: Path) -> list[Toy]:
    """Three students of one teacher; with home's diary."""
    teacher = Toy("teacher", home / "diary", epochs=EPOCHS, seconds=0.3)
    return [
        Toy(f"student{n}", home / "diary", {"start": teacher}, epochs=EPOCHS, seconds=0.3)
        for n in range(3)
    ]


def main() -> None:
    home = Path(sys.argv[1])
    cluster.connect(cpus=2, local=True)
    orders = [
        Order(toy.label, tuple(ticket(above) for above in toy.lineage())) for toy in trials(home)
    ]
    store, slices = Store(str(home / "store")), {"student": Slice()}
    ran = cluster.run_trials(orders, store, slices, 3, lambda views: None)
    if any(outcome == "interrupted" for outcome, _ in ran.values()):
        raise KeyboardInterrupt
    print(sorted(ran.items()), flush=True)


if __name__ == "__main__":
    answer(main)
