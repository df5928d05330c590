"""Tune's ASHA against the successive halving that searches had before, on a recorded grid.

    python benchmarks/early_stopping.py              # the table beside this file, 20 seeds
    python benchmarks/early_stopping.py --at-once 1  # one trial after the other
    python benchmarks/early_stopping.py --free-teachers  # as where all teachers are stored

What a configuration scores in the end, and what it costs, was recorded (see `search.py`). How it
comes there was not, so students are toys: each rises to its recorded score, at a pace and with
noise that its place in the grid decides, and so do its ranks change on the way. A survivor pays
for two more folds, with a teacher each. Trials run side by side on a clock of their own, and both
rules hear the same reports in the order in which they come.

Printed is the regret, as `search.py` has it.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from statistics import median

from search import RECORDED, STUDENT, TEACHER, Grid, Place, read, row, values

from vpbsd.search_ranges import Choice
from vpbsd.settings import laptop
from vpbsd_sweeps.execution.early_stopping import (
    RUNG,
    SCORE,
    Earlier,
    EarlyStopping,
    make_scheduler,
)
from vpbsd_sweeps.tuning.sampler import ConfigSampler
from vpbsd_sweeps.tuning.space import Parameter, Space

EPOCHS, RUNGS, FOLDS = 20, (2, 4, 8, 16), 3
NOISE = 0.01  # of a look
Stops = Callable[[str, int, float], bool]
"""(trial, rung, score) -> whether it goes no further."""


def halving() -> Stops:
    """The former rule: a trial stays while it is among the best half, rounded up, at a rung."""
    seen: dict[int, list[float]] = defaultdict(list)

    def stops(trial: str, rung: int, score: float) -> bool:
        seen[rung].append(score)
        better = sum(other > score for other in seen[rung])
        return better >= math.ceil(len(seen[rung]) / 2)

    return stops


def tuned(name: str) -> Callable[[], Stops]:
    """Returns a maker of one of Tune's rules, as searches use it."""

    def make() -> Stops:
        early, known = EarlyStopping(make_scheduler(name, RUNGS)), set[str]()

        def stops(trial: str, rung: int, score: float) -> bool:
            if trial not in known:
                known.add(trial)
                early.on_trial_add(None, Earlier(trial))
            report = {RUNG: rung, SCORE: score}
            return early.on_trial_result(None, Earlier(trial), report) == "STOP"

        return stops

    return make


RULES = {
    "halving": halving,
    "asha": tuned("asha"),
    "median": tuned("median"),
    "none": tuned("none"),
}


def looks(place: Place, final: float) -> Iterator[tuple[int, float]]:
    """Yields (rung, DSC) of a toy student that ends at `final`; every rule sees the same."""
    rng = random.Random(repr(place))
    pace = rng.uniform(2.0, 8.0)  # epochs to 63 % of the way
    for rung in RUNGS:
        yield rung, final * (1 - math.exp(-rung / pace)) + rng.gauss(0, NOISE)


def searched(grid: Grid, budget: float, seed: int, rule: str, at_once: int) -> tuple[float, int]:
    """Returns the best DSC that a search finds in so many seconds, and how many it completed."""
    levels = [tuple(Parameter(p, Choice(v)) for p, v in of.items()) for of in (TEACHER, STUDENT)]
    sampler = ConfigSampler(Space(laptop(), *levels), "tpe", seed, 8)
    stops, numbers = RULES[rule](), count()
    teachers: set[Place] = set()
    best, complete = 0.0, 0
    clock: list[tuple[float, int, Iterator[float]]] = []  # (when, trial, what it does next)

    def trial(number: int) -> Iterator[float]:
        """Yields the seconds of each step of a trial."""
        nonlocal best, complete
        params = sampler.ask(number)
        teacher, place = values(params, TEACHER), values(params, {**TEACHER, **STUDENT})
        score, curve, before = grid.dsc[place], [], 0
        dear = 0 if teacher in teachers else 1
        teachers.add(teacher)
        yield dear * (grid.void if score is None else grid.teacher)
        if score is None:
            sampler.tell(number, None, ())
            return
        for rung, dsc in looks(place, score):
            yield grid.student * (rung - before) / EPOCHS
            before = rung
            curve.append((rung, dsc))
            if stops(str(number), rung, dsc):
                sampler.tell(number, None, curve)
                return
        others = (FOLDS - 1) * (grid.student + dear * grid.teacher)
        yield grid.student * (EPOCHS - before) / EPOCHS + others
        best, complete = max(best, score), complete + 1
        sampler.tell(number, [score], curve)

    for number in (next(numbers) for _ in range(at_once)):
        heapq.heappush(clock, (0.0, number, trial(number)))
    while True:
        now, number, steps = heapq.heappop(clock)
        if now * at_once > budget:
            return best, complete
        seconds = next(steps, None)
        if seconds is None:
            number = next(numbers)
            steps, seconds = trial(number), 0.0
            if number > 20 * len(grid.dsc):
                return best, complete
        heapq.heappush(clock, (now + seconds, number, steps))


def main() -> None:
    given = arguments()
    grid = read(RECORDED)
    if given.free_teachers:
        grid = replace(grid, teacher=0.0, void=0.0)
    print(f"{RECORDED.name}, {given.seeds} seeds, {given.at_once} trials side by side")
    print("minutes | rule | median regret | quartiles | against halving | trials completed")
    for minutes in given.minutes:
        before: list[float] | None = None
        for rule in RULES:
            ends = [
                searched(grid, 60 * minutes, seed, rule, given.at_once)
                for seed in range(given.seeds)
            ]
            regrets = [grid.top - found for found, _ in ends]
            line = row(minutes, rule, regrets, before)
            print(f"{line} | {median(done for _, done in ends):g}")
            before = before or regrets


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--minutes", type=float, nargs="+", default=[30, 60, 120], help="budgets")
    parser.add_argument("--at-once", type=int, default=4, metavar="N")
    parser.add_argument("--free-teachers", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
