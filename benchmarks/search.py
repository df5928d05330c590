"""Stage-aware sampling against plain TPE at equal cost, on a table of a full grid.

    python benchmarks/search.py                # the table beside this file, 20 seeds
    python benchmarks/search.py --grid FILE    # another table of the same columns

Both draw from the same grid and pay for what they train: a teacher once per setting of it, a
student once per configuration; nothing twice, for either. A search ends when its budget is spent.
Printed is the regret (best DSC of the grid less that of the best configuration found): median and
quartiles over seeds, and how often stage-aware sampling is ahead.

THE TABLE IS SYNTHETIC: `grid_synthetic.csv` was made by `--make`, by the formula in `score`, and
was not measured. It has what makes the problem hard: teacher and student settings that interact,
noise as large as the gap between good configurations, and collapsed codebooks. Only what follows
from costs and structure can be read off it. Record a real one with the columns of `COLUMNS`.
"""

from __future__ import annotations

import argparse
import csv
import math
from itertools import product
from pathlib import Path
from statistics import median, quantiles

import numpy as np

from sweeps.sampling import Chooser
from sweeps.space import Choice, Parameter, Params, Space
from vpbsd.settings import laptop

TEACHER = {
    "pretrain.network.codebook.size": (8, 16, 24, 48),
    "pretrain.alpha": (0.03, 0.1, 0.3),
    "pretrain.skip_drop": (0.5, 1.0),
}
STUDENT = {
    "student.optim.lr": (0.001, 0.003, 0.01, 0.03),
    "student.gamma": (0.1, 0.3, 1.0, 3.0, 10.0),
    "student.beta": (0.1, 0.3, 1.0),
}
COLUMNS = [*TEACHER, *STUDENT, "dsc"]
FILE = Path(__file__).with_name("grid_synthetic.csv")
TEACHER_COST, STUDENT_COST = 10.0, 1.0
"""Of the laptop preset's proportions: 5 minutes against half a minute per fold."""
Table = dict[tuple[float, ...], float]


def main() -> None:
    given = arguments()
    if given.make:
        make(FILE)
    table = read(given.grid)
    top = max(table.values())
    print(
        f"{given.grid.name}: {len(table)} configurations, "
        f"DSC {min(table.values()):.3f} to {top:.3f}"
    )
    print(f"a teacher costs {TEACHER_COST:g}, a student {STUDENT_COST:g}; {given.seeds} seeds")
    print("budget | students per teacher | median regret | quartiles | ahead of plain TPE")
    for budget in given.budgets:
        plain = [top - searched(table, budget, seed, 1) for seed in range(given.seeds)]
        print(row(budget, "1 (plain TPE)", plain, None))
        for students in given.students:
            aware = [top - searched(table, budget, seed, students) for seed in range(given.seeds)]
            print(row(budget, str(students), aware, plain))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grid", type=Path, default=FILE, metavar="FILE")
    parser.add_argument("--make", action="store_true", help="write the synthetic table anew")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--budgets", type=float, nargs="+", default=[60, 120])
    parser.add_argument("--students", type=int, nargs="+", default=[8])
    return parser.parse_args()


def searched(table: Table, budget: float, seed: int, students: int) -> float:
    """Best DSC that a search finds for its budget."""
    levels = [tuple(Parameter(p, Choice(v)) for p, v in of.items()) for of in (TEACHER, STUDENT)]
    chooser = Chooser(Space(laptop(), *levels), "tpe", seed, students)
    teachers: set[tuple[float, ...]] = set()
    known: set[tuple[float, ...]] = set()
    best = spent = 0.0
    for number in range(20 * int(budget)):  # one that only repeats itself must end too
        params = chooser.ask(number)
        teacher, place = values(params, TEACHER), values(params, {**TEACHER, **STUDENT})
        spent += TEACHER_COST * (teacher not in teachers) + STUDENT_COST * (place not in known)
        if spent > budget:
            break
        teachers.add(teacher)
        known.add(place)
        best = max(best, table[place])
        chooser.tell(number, [table[place]], ())
    return best


def values(params: Params, of: dict[str, tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(float(params[path]) for path in of)


def row(budget: float, name: str, regrets: list[float], plain: list[float] | None) -> str:
    low, _, high = quantiles(regrets, n=4)
    ahead = ""
    if plain is not None:
        wins = sum(a < b for a, b in zip(regrets, plain, strict=True))
        losses = sum(a > b for a, b in zip(regrets, plain, strict=True))
        ahead = f"{wins} wins, {losses} losses of {len(plain)}"
    return f"{budget:6g} | {name:<20} | {median(regrets):13.4f} | {low:.4f} {high:.4f} | {ahead}"


def score(place: dict[str, float], noise: float) -> float:
    """The formula: parabolas on logarithmic scales around an optimum, two interactions, noise.

    Larger codebooks want more alpha, or collapse; a strong gamma pays only with a good teacher.
    """
    size, alpha, skip, lr, gamma, beta = (place[name] for name in COLUMNS[:-1])
    teacher = 1 - 0.10 * math.log(size / 24, 4) ** 2 - 0.08 * math.log10(alpha / 0.1) ** 2
    teacher -= 0.06 * (skip < 1) + 0.12 * max(0.0, math.log10(size / 16 * 0.1 / alpha))
    student = 0.10 * math.log10(lr / 0.008) ** 2 + 0.03 * math.log10(beta / 0.5) ** 2
    codes = 0.06 * math.log10(gamma / (3 if teacher > 0.95 else 0.4)) ** 2
    collapsed = size == 48 and alpha < 0.1
    return 0.72 * teacher - student - codes - 0.25 * collapsed + 0.01 * noise


def make(file: Path) -> None:
    """Writes the synthetic table; the same one every time."""
    rng = np.random.default_rng(0)
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(COLUMNS)
        for point in product(*TEACHER.values(), *STUDENT.values()):
            place = dict(zip(COLUMNS[:-1], point, strict=True))
            writer.writerow([*point, f"{score(place, rng.standard_normal()):.4f}"])


def read(file: Path) -> Table:
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    return {tuple(float(r[c]) for c in COLUMNS[:-1]): float(r["dsc"]) for r in rows}


if __name__ == "__main__":
    main()
