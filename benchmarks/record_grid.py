"""Trains a whole grid of configurations on generated vessels, for benchmarks/search.py.

    python -m benchmarks.record_grid              # an hour or two on two cores; goes on if stopped
    python -m benchmarks.record_grid --out FILE --store URL --epochs 2   # a look at how it works

Each configuration of the grid in `benchmarks/search.py` is run as a search runs it in its first
fold, at full budget: teacher, student, and the student's DSC on the training group that is held
out. A configuration whose codebook is void ends there, as in a search. The table holds the score
(nothing where it is void) and the seconds that teacher and student took, all as measured.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from itertools import product
from pathlib import Path
from statistics import mean

from benchmarks.search import COLUMNS, RECORDED, STUDENT, TEACHER
from vpbsd.data.folds import held_out, make_folds
from vpbsd.data.phantom_set import phantom_folder
from vpbsd.data.volumes import list_volumes
from vpbsd.overrides import override
from vpbsd.pipeline.recipes import trial
from vpbsd.pipeline.stages import Stage
from vpbsd.settings import laptop
from vpbsd_sweeps.execution import capacity, cluster
from vpbsd_sweeps.execution.jobs import JobChain, job_of
from vpbsd_sweeps.execution.trials import run_trials
from vpbsd_sweeps.monitor.sweep_display import SweepDisplay
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.costs import guess_memory
from vpbsd_sweeps.study.inventory import look_up
from vpbsd_sweeps.study.void import voided_by

RUNS = Path("runs")
AHEAD = 30  # trials alive: the next teachers are trained beside the students of one


def main() -> None:
    given = arguments()
    settings, store = laptop(), Store(given.store)
    if given.epochs is not None:
        settings = override(settings, {"student.optim.epochs": given.epochs})
    fold = held_out(make_folds(list_volumes(phantom_folder(RUNS)), settings.protocol)[0])
    paths = [*TEACHER, *STUDENT]
    ends = {
        point: trial(override(settings, dict(zip(paths, point, strict=True))), "vpbsd", fold, 0)
        for point in product(*TEACHER.values(), *STUDENT.values())
    }
    cluster.connect(None)
    lineages = [stage for end in ends.values() for stage in end.lineage()]
    codebooks = {s.key: s for s in lineages if s.family == "pre-training"}
    train("grid, pre-training", list(codebooks.values()), store)
    train("grid", [end for end in ends.values() if not void(end, store)], store)
    with given.out.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(COLUMNS)
        writer.writerows([*point, *measured(end, store)] for point, end in ends.items())
    print(f"{len(ends)} configurations in {given.out}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RECORDED, metavar="FILE")
    parser.add_argument("--store", default=str(RUNS / "grid"), metavar="URL")
    parser.add_argument("--epochs", type=int, metavar="N", help="of a student, fewer than usual")
    return parser.parse_args()


def train(name: str, ends: list[Stage], store: Store) -> None:
    """Runs every stage that these need and that is not stored, each once."""
    unique = {stage.key: stage for end in ends for stage in end.lineage()}
    stock = look_up(name, unique.values(), store)
    print(f"{name}: {len(stock.missing)} of {len(unique)} stages to run", file=sys.stderr)
    if not stock.missing:
        return
    slices = capacity.offered(guess_memory(stock.missing))
    fit = capacity.fit(slices)
    chains = [JobChain(str(n), tuple(map(job_of, end.lineage()))) for n, end in enumerate(ends)]
    with SweepDisplay(stock, fit) as display:
        ran = run_trials(chains, store, slices, fit["student"] + AHEAD, display.show)
    stopped = [f"{trial}: {how} {why}" for trial, (how, why) in ran.items() if how != "finished"]
    if stopped:
        raise SystemExit("\n".join(stopped[:5]))


def void(end: Stage, store: Store) -> bool:
    """Whether the codebook of a configuration is void: a search would end it there."""
    manifests = [store.manifest(stage.key) for stage in voided_by(end)]
    return any(manifest is not None and manifest.metadata["void"] for manifest in manifests)


def measured(end: Stage, store: Store) -> tuple[object, ...]:
    """DSC, or nothing if it is void; and the seconds of its teacher and of its student."""
    student = end.upstream["network"]
    told = {stage.key: store.manifest(stage.key) for stage in end.lineage()}
    seconds = {key: float(m.metadata["seconds"]) for key, m in told.items() if m is not None}
    last = sum(seconds.pop(stage.key, 0.0) for stage in (student, end))
    teacher = round(sum(seconds.values()), 1)
    if void(end, store):
        return "", teacher, 0.0
    rows = json.loads((store.open(end.key) / "rows.json").read_text())
    return round(mean(float(row["dsc"]) for row in rows), 4), teacher, round(last, 1)


if __name__ == "__main__":
    main()
