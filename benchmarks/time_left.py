"""How right the time left is that a sweep shows, replayed on stage times that were recorded.

    python benchmarks/time_left.py                       # the table beside this file
    python benchmarks/time_left.py --record STORE STUDY  # prints rows of a study for that table

Two replays. *As it ran*: stages begin and end when they did, so waits between them, workers that
start and a machine that others use are in it (`at_once` of the table; 0 where a study was run in
several goes). *Laid out*: the recorded seconds of each stage are scheduled on other numbers of
slices, with a pause before each stage. The estimate is asked for at 30 moments from a third of
the run to 95 % of it; it knows guesses, and of begun stages what a display knows. Printed are the
share of moments at which it is within 30 % of what was really left, the median and the worst
error; and the share for the plain proportion of guessed work done.

Two cores, November 2026. All were recorded beside other work on the same cores; in
`rivals-smoke` that was so much that a V-Net took 470 s in one fold and 70 s in the other, which
no estimate can know. `grid` is the calmest.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from vpbsd_sweeps.execution.events import StageState, StageStatus
from vpbsd_sweeps.monitor.time_left import Task, TimeLeft
from vpbsd_sweeps.study.inventory import FAMILIES

RECORDED = Path(__file__).with_name("stage_times.csv")
GRID = Path(__file__).with_name("grid_phantom.csv")
TEACHER = ("pretrain.network.codebook.size", "pretrain.alpha", "pretrain.skip_drop")

MOMENTS, WITHIN = 30, 0.3
ONE_TEACHER = {"pre-training": 1, "fine-tuning": 1}
"""As the recorded studies ran: their teachers were trained one after the other."""
LOOK = 0.5  # seconds before a stage ends that a display sees it last
PAUSES = (0.0, 3.0)
"""Seconds between stages of a layout: a worker starts, results are fetched and stored."""


@dataclass(frozen=True)
class Ran:
    """A stage that ran, from one second of its run to another."""

    task: Task
    began: float
    ended: float


def record(store: Path, study: str) -> None:
    """Prints a row per stage that a study ran itself; times are in seconds."""
    outline = json.loads((store / "studies" / study / "outline.json").read_text())
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for stage in outline["stages"]:
        places = [*(store / "results" / stage["key"]).glob("manifest.json")]
        if stage["before"] or not places:
            continue
        manifest = json.loads(places[0].read_text())
        facts = manifest["facts"]
        told = json.loads((places[0].parent / manifest["attempt"] / "stage.json").read_text())
        above = " ".join(key[:8] for key in told["upstream"].values())
        numbers = (f"{facts['seconds']:.2f}", f"{facts['finished']:.2f}")
        guess = f"{stage['guess']:.3f}"
        head = [study, 2, stage["key"][:8], stage["family"], told["label"]]
        writer.writerow([*head, guess, *numbers, above])


def read() -> Iterator[tuple[str, int, list[dict[str, str]]]]:
    """Yields the recorded studies: name, slices, rows."""
    with RECORDED.open() as file:
        for (study, slices), rows in groupby(
            csv.DictReader(file), lambda r: (r["study"], r["at_once"])
        ):
            yield study, int(slices), list(rows)


def grid() -> list[dict[str, str]]:
    """Makes rows of the recorded grid of `record_grid.py`: teachers, and the students of each.

    All were guessed alike, since they differ in weights and sizes of codebooks alone.
    """
    rows: list[dict[str, str]] = []
    with GRID.open() as file:
        every = list(csv.DictReader(file))
    for i, row in enumerate(every):
        teacher = "-".join(row[name] for name in TEACHER)
        if all(known["key"] != teacher for known in rows):
            seconds = row["teacher_seconds"]
            about = {"family": "fine-tuning", "label": "teacher", "guess": "150", "upstream": ""}
            rows.append({"key": teacher, "seconds": seconds, **about})
        if float(row["student_seconds"] or 0) > 0:
            about = {"family": "student", "label": "vpbsd", "guess": "20", "upstream": teacher}
            rows.append({"key": f"{teacher}-{i}", "seconds": row["student_seconds"], **about})
    return rows


def tasks_of(rows: Sequence[dict[str, str]]) -> list[Task]:
    """Makes the tasks of recorded rows, with what was guessed of them."""
    return [
        Task(r["key"], r["family"], float(r["guess"]), tuple(r["upstream"].split()), r["label"])
        for r in rows
    ]


def as_it_ran(rows: Sequence[dict[str, str]]) -> list[Ran]:
    """Replays the times at which stages ended, and began that many seconds before."""
    spans = [(float(r["finished"]) - float(r["seconds"]), float(r["finished"])) for r in rows]
    first = min(began for began, _ in spans)
    return [
        Ran(task, began - first, ended - first)
        for task, (began, ended) in zip(tasks_of(rows), spans, strict=True)
    ]


def laid_out(rows: Sequence[dict[str, str]], at_once: int, pause: float) -> list[Ran]:
    """Schedules the recorded seconds, each after a pause, what can begin first first."""
    real = {r["key"]: float(r["seconds"]) for r in rows}
    ends: dict[str, float] = {}
    free = [0.0] * at_once
    left = tasks_of(rows)
    while left:

        def start(task: Task) -> float:
            above = max((ends[up] for up in task.upstream if up in real), default=0.0)
            return max(min(free), above)

        can = [task for task in left if all(up in ends for up in task.upstream if up in real)]
        task = min(can, key=start)
        slot, began = free.index(min(free)), start(task) + pause
        ends[task.key] = free[slot] = began + real[task.key]
        left.remove(task)
    return [Ran(t, ends[t.key] - real[t.key], ends[t.key]) for t in tasks_of(rows)]


def fit(slices: int) -> dict[str, int]:
    """Family -> how many stages of it fit side by side."""
    return dict.fromkeys(FAMILIES, slices)


def errors(ran: Sequence[Ran], fit: Mapping[str, int]) -> tuple[list[float], list[float]]:
    """Asks at moments from a third of a run on, and what is left in proportion to guesses.

    Returns:
        (estimate - truth) / truth at each moment, of both.
    """
    left, end = TimeLeft([r.task for r in ran], fit), max(r.ended for r in ran)
    found, plain = [], []
    moments = set(np.linspace(end / 3, 0.95 * end, MOMENTS).tolist())
    looks = {max(0.0, r.ended - LOOK) for r in ran} | {r.ended for r in ran}  # as a display sees
    for now in sorted(moments | looks):
        statuses = [_status(r, now) for r in ran]
        begun = [s for r, s in zip(ran, statuses, strict=True) if r.began < now]
        estimate, truth = left.seconds(begun, now), end - now
        if now in moments:
            found.append((estimate - truth) / truth)
            shares = [s.share * r.task.seconds for r, s in zip(ran, statuses, strict=True)]
            every = sum(r.task.seconds for r in ran)
            plain.append((now * (every - sum(shares)) / sum(shares) - truth) / truth)
    return found, plain


def _status(ran: Ran, now: float) -> StageStatus:
    state = StageState.STORED if ran.ended <= now else StageState.RUNNING
    share = min(1.0, max(0.0, now - ran.began) / max(ran.ended - ran.began, 1e-9))
    task, seconds = ran.task, now - ran.began
    return StageStatus(task.key, task.family, task.key, state, share, 1, seconds, "")


def main() -> None:
    """Prints the table, or records."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", nargs=2, metavar=("STORE", "STUDY"))
    args = parser.parse_args()
    if args.record:
        record(Path(args.record[0]), args.record[1])
        return
    print(
        "study                     replay                 run   within 30 %  median  worst  plain"
    )
    every, by_guess = list[float](), list[float]()
    for study, slices, rows in [*read(), ("grid", 0, grid())]:
        replays = [("as it ran", as_it_ran(rows), fit(slices) | ONE_TEACHER)] if slices else []
        replays += [
            (f"{n} slices, pause {pause:g} s", laid_out(rows, n, pause), fit(n))
            for n in (1, 2, 4)
            for pause in PAUSES
        ]
        for name, ran, places in replays:
            found, plain = errors(ran, places)
            every, by_guess = every + found, by_guess + plain
            size, took = np.abs(found), max(r.ended for r in ran)
            print(
                f"{study:<25} {name:<20} {took:>5.0f} s {np.mean(size <= WITHIN):>10.0%} "
                f"{np.median(size):>8.0%} {found[size.argmax()]:>+6.0%} "
                f"{np.mean(np.abs(plain) <= WITHIN):>6.0%}"
            )
    for name, found in (("all", every), ("plain", by_guess)):
        print(
            f"{name}: {np.mean(np.abs(found) <= WITHIN):.0%} of {len(found)} moments within 30 %"
        )


if __name__ == "__main__":
    main()
