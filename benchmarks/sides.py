"""Sides of a benchmark in one process, in turns: medians, spread, and their ratio as a row."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from statistics import median

import torch

Work = Callable[[], object]
Seconds = dict[str, list[tuple[float, float]]]
"""Side -> seconds by the clock and of processor time, of each run."""


def arguments(about: str, runs: int, *, on_gpus: bool = False) -> argparse.ArgumentParser:
    """Makes the options that all of them take, and `--device` where one runs on GPUs too."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--runs", type=int, default=runs, help=f"of each side (default {runs})")
    if on_gpus:
        parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=1, help="of torch (default 1, as a slice)")
    return parser


def in_turns(sides: Mapping[str, Work], runs: int) -> Seconds:
    """Runs all sides in turns, after one of each that warms up: a busy machine is so for all."""
    seconds: Seconds = {name: [] for name in sides}
    for number in range(runs + 1):
        print(f"run {number} of {runs} of each side", file=sys.stderr, flush=True)
        for name, work in sides.items():
            began = time.perf_counter(), time.process_time()
            work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            spent = time.perf_counter() - began[0], time.process_time() - began[1]
            if number:
                seconds[name].append(spent)
    return seconds


def row(what: str, seconds: Seconds, aim: float, units: float = 1.0) -> None:
    """Prints a row: rival, ours, both ratios and the aim; the rival is the first side.

    Args:
        what: Was measured, and the unit.
        seconds: Of two sides, the rival's first.
        aim: The ratio to reach.
        units: Steps or patches of one run, which seconds are given for.
    """
    theirs, ours = seconds.values()
    ratios = [median(r[i] for r in theirs) / median(r[i] for r in ours) for i in (0, 1)]
    a, b = (_shown([1e3 * r[0] / units for r in side]) for side in (theirs, ours))
    print(f"| {what} | {a} | {b} | {ratios[0]:.1f} ({ratios[1]:.1f}) | {aim:g} |", flush=True)


def head(device: str = "cpu") -> None:
    """Prints the machine and a table's head."""
    name = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    versions = ", ".join(f"{p} {version(p)}" for p in ("torch", "monai", "numpy"))
    load = os.getloadavg()[0]
    print(f"{name}, {os.cpu_count()} cores, load {load:.1f}; {versions}\n")
    print("| what | rival [ms] | ours [ms] | ratio by the clock (processor) | aim |")
    print("|---|---|---|---|---|")


def _shown(ms: list[float]) -> str:
    digits = 0 if median(ms) >= 100 else 2
    return f"{median(ms):.{digits}f} ({min(ms):.{digits}f} to {max(ms):.{digits}f})"
