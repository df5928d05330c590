"""Stage-aware sampling against plain TPE at equal cost, on a recorded grid.

    python benchmarks/search.py                # the table beside this file, 20 seeds
    python benchmarks/search.py --grid FILE    # another table of the same columns

Both draw from the same grid and pay for what they train: a teacher once per setting of it, a
student once per configuration; nothing twice, for either; a void codebook ends its configuration.
Costs are the medians of what was measured when the grid was recorded. A search ends when its
budget is spent. Printed is the regret (best DSC of the grid less that of the best
configuration found): median and quartiles over seeds, and how often stage-aware sampling is ahead.

`grid_phantom.csv` was measured by `record_grid.py`: every configuration of `TEACHER` x `STUDENT`
trained on the generated vessels with the laptop preset.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from vpbsd.search_ranges import Choice
from vpbsd.settings import laptop
from vpbsd_sweeps.tuning.sampler import ConfigSampler
from vpbsd_sweeps.tuning.space import Parameter, Params, Space

TEACHER = {
    "pretrain.network.codebook.size": (8, 16, 24),
    "pretrain.alpha": (0.03, 0.1, 0.3),
    "pretrain.skip_drop": (0.5, 1.0),
}
STUDENT = {
    "student.optim.lr": (0.003, 0.01, 0.03),
    "student.gamma": (0.1, 1.0),
    "student.beta": (0.3, 1.0),
}
COLUMNS = [*TEACHER, *STUDENT, "dsc", "teacher_seconds", "student_seconds"]
RECORDED = Path(__file__).with_name("grid_phantom.csv")
Place = tuple[float, ...]


@dataclass(frozen=True)
class Grid:
    """What was recorded.

    Attributes:
        dsc: Of each configuration; None where it is void.
        teacher: Median seconds of a teacher, its targets included.
        void: Median seconds until a codebook is found to be void.
        student: Median seconds of a student and its evaluation.
    """

    dsc: dict[Place, float | None]
    teacher: float
    void: float
    student: float

    @property
    def top(self) -> float:
        """The best there is to be found."""
        return max(value for value in self.dsc.values() if value is not None)


def main() -> None:
    given = arguments()
    grid = read(given.grid)
    scored = sorted(value for value in grid.dsc.values() if value is not None)
    print(
        f"{given.grid.name}: {len(grid.dsc)} configurations, {len(grid.dsc) - len(scored)} void, "
        f"DSC {scored[0]:.3f} to {scored[-1]:.3f}, median {median(scored):.3f}"
    )
    print(
        f"a teacher takes {grid.teacher:.0f} s, a void one {grid.void:.0f} s, a student "
        f"{grid.student:.0f} s; {given.seeds} seeds"
    )
    print("minutes | students per teacher | median regret | quartiles | against plain TPE")
    for minutes in given.minutes:
        plain = regrets(grid, minutes, given.seeds, 1)
        print(row(minutes, "1 (plain TPE)", plain, None))
        for students in given.students:
            print(
                row(minutes, str(students), regrets(grid, minutes, given.seeds, students), plain)
            )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grid", type=Path, default=RECORDED, metavar="FILE")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--minutes", type=float, nargs="+", default=[10, 20, 30], help="budgets")
    parser.add_argument("--students", type=int, nargs="+", default=[4, 8])
    return parser.parse_args()


def regrets(grid: Grid, minutes: float, seeds: int, students: int) -> list[float]:
    """Of one search per seed."""
    return [grid.top - searched(grid, 60 * minutes, seed, students) for seed in range(seeds)]


def searched(grid: Grid, budget: float, seed: int, students: int) -> float:
    """Best DSC that a search finds within so many seconds of training; 0 if it finds none."""
    levels = [tuple(Parameter(p, Choice(v)) for p, v in of.items()) for of in (TEACHER, STUDENT)]
    sampler = ConfigSampler(Space(laptop(), *levels), "tpe", seed, students)
    teachers: set[Place] = set()
    known: set[Place] = set()
    best = spent = 0.0
    for number in range(2 * len(grid.dsc)):  # one that only repeats itself must end too
        params = sampler.ask(number)
        teacher, place = values(params, TEACHER), values(params, {**TEACHER, **STUDENT})
        score = grid.dsc[place]
        spent += (grid.void if score is None else grid.teacher) * (teacher not in teachers)
        spent += grid.student * (score is not None and place not in known)
        if spent > budget:
            break
        teachers.add(teacher)
        known.add(place)
        best = max(best, score or 0.0)
        sampler.tell(number, None if score is None else [score], ())
    return best


def values(params: Params, of: dict[str, tuple[float, ...]]) -> Place:
    return tuple(float(params[path]) for path in of)


def row(minutes: float, name: str, found: list[float], plain: list[float] | None) -> str:
    low, _, high = quantiles(found, n=4)
    against = ""
    if plain is not None:
        wins = sum(a < b for a, b in zip(found, plain, strict=True))
        losses = sum(a > b for a, b in zip(found, plain, strict=True))
        against = f"{wins} better, {losses} worse of {len(plain)}"
    return f"{minutes:7g} | {name:<20} | {median(found):13.4f} | {low:.4f} {high:.4f} | {against}"


def read(file: Path) -> Grid:
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    paths = [*TEACHER, *STUDENT]
    scored, void = [[r for r in rows if bool(r["dsc"]) is known] for known in (True, False)]

    def typical(column: str, of: list[dict[str, str]]) -> float:
        return median(float(r[column]) for r in of) if of else 0.0

    return Grid(
        dsc={
            tuple(float(r[p]) for p in paths): float(r["dsc"]) if r["dsc"] else None for r in rows
        },
        teacher=typical("teacher_seconds", scored),
        void=typical("teacher_seconds", void),
        student=typical("student_seconds", scored),
    )


if __name__ == "__main__":
    main()
