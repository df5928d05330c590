"""Final training: the best student configuration of a finished study, on all labelled volumes.

    python sweeps/final.py --study NAME
    python sweeps/final.py --study NAME --seeds 0,1,2 --gpus 2
    python sweeps/final.py --study NAME --data DIR --holdout VOLUME

The arm with the highest mean test DSC over folds is taken, never a reference, a void or an
unfinished arm; of a search, the complete trial with the highest objective. Stored stages are
reused; running the same command again goes on, or finds that nothing is left to do.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from sweeps.arguments import RUNS, add_places, seeds_of, volumes_of
from sweeps.choice import Choice, card, choose, choose_trial
from sweeps.journal import Journal
from sweeps.lock import driving
from sweeps.plan import Stock, take_stock
from sweeps.reaching import Reach
from sweeps.registering import register
from sweeps.slices import Slice
from sweeps.store import Store
from sweeps.study import data_fingerprint
from sweeps.tables import trial_results
from sweeps.tracking import Tracker, open_tracker
from vpbsd.arms import TITLES
from vpbsd.command import Parser, answer
from vpbsd.config import nearest
from vpbsd.data.folds import Fold, everything
from vpbsd.data.volumes import VolumeInfo
from vpbsd.errors import BadInput
from vpbsd.recipes import deliverable
from vpbsd.segment import write_settings
from vpbsd.settings import Settings
from vpbsd.stages import Evaluate, Stage, Train


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", required=True, metavar="NAME", help="a finished study")
    add_places(parser)
    parser.add_argument(
        "--holdout",
        nargs="+",
        default=[],
        metavar="VOLUME",
        help="labelled volumes kept out of all training, and evaluated at the end",
    )
    parser.add_argument(
        "--seeds", default="0", metavar="0,1", help="a student of each, side by side (default 0)"
    )
    parser.add_argument(
        "--gpus",
        type=int,
        metavar="N",
        help="take at most so many GPUs of the cluster at a time; pre-training takes them all",
    )
    parser.add_argument("--out", metavar="DIR", help=f"model folder (default {RUNS}/models/STUDY)")
    parser.add_argument("--cpus", type=int, metavar="N", help="cores of a local Ray")
    return parser.parse_args()


def main() -> int:
    """Chooses, trains what is not stored, registers, writes a model folder per seed."""
    args = arguments()
    store, seeds = Store(args.store), seeds_of(args.seeds)
    if args.gpus is not None and args.gpus < 1:
        raise BadInput(f"--gpus {args.gpus}: give 1 or more, or leave it out")
    tracker = open_tracker(args.tracking, args.study)
    store.check_writable()
    with driving(args.study, store):
        choice, data = _settled(tracker, store, args.study)
        volumes = volumes_of(args)
        _refuse_other_data(data, volumes, args.study)
        holdout = _holdout(args.holdout, volumes)
        fold = everything(volumes, choice.settings.protocol, holdout)
        print(f"chosen: {TITLES[choice.arm]}, DSC {choice.scores['dsc']} ({choice.rule})")
        if choice.left_out:
            print(f"could not be chosen: {', '.join(choice.left_out)}")
        students = [
            deliverable(choice.settings, choice.arm, fold, seed, choice.teacher_seed)
            for seed in seeds
        ]
        _train([_last_stage(choice.settings, fold, s) for s in students], args, store)
        for student in students:
            out = Path(args.out or Path(RUNS) / "models" / args.study)
            out = out / f"seed{student.seed}" if len(seeds) > 1 else out
            _export(student, _last_stage(choice.settings, fold, student), store, choice, out)
            _register(tracker, args.study, choice, student, out)
    print(f"segment a volume: python -m vpbsd segment {out} VOLUME.ome.zarr MASK.ome.zarr")
    return 0


def _settled(tracker: Tracker, store: Store, study: str) -> tuple[Choice, str]:
    """What a search or a sweep of this name chose, and the fingerprint of its data."""
    journal = Journal(store, study)
    if journal.facts is not None:
        return choose_trial(journal, tracker), journal.facts["data"]
    sweep = next(tracker.runs("tags.`vpbsd.kind` = 'sweep'"), None)
    if sweep is None:
        raise BadInput(
            f"'{study}' has no sweep in MLflow and no search in {store.url}: pass the --store "
            "that it was run with"
        )
    facts: dict[str, Any] = json.loads(sweep.data.tags["vpbsd.facts"])
    return choose(trial_results(tracker), facts), facts["data"]


def _refuse_other_data(told: str, volumes: tuple[VolumeInfo, ...], study: str) -> None:
    if data_fingerprint(volumes) != told:
        raise BadInput(
            f"study '{study}' was run on other volumes than these: pass the --data it was run on"
        )


def _holdout(names: list[str], volumes: tuple[VolumeInfo, ...]) -> set[str]:
    known = [v.name for v in volumes if v.labelled]
    for name in names:
        if name not in known:
            raise BadInput(f"--holdout {name}: no such labelled volume{nearest(name, known)}")
    return set(names)


def _last_stage(settings: Settings, fold: Fold, student: Stage) -> Stage:
    """The student, or its evaluation on what was held out."""
    if not fold.test:
        return student
    config = Evaluate(data=settings.data, precision=settings.precision)
    return Stage(config, {"test": fold.test}, {"network": student}, 0, "evaluate final student")


def _train(lasts: list[Stage], args: argparse.Namespace, store: Store) -> None:
    """Runs what is not stored; a stage that fails ends the program with its reason."""
    unique = {stage.key: stage for last in lasts for stage in last.lineage()}
    stock = take_stock(f"{args.study}-final", unique.values(), store)
    print(f"{len(stock.stages)} stages, {len(stock.stages) - len(stock.missing)} of them stored")
    if stock.missing:
        _run(lasts, stock, args, store)


def _run(lasts: list[Stage], stock: Stock, args: argparse.Namespace, store: Store) -> None:
    from sweeps import capacity, cluster
    from sweeps.progress import Display
    from sweeps.tickets import Order, ticket

    cluster.connect(args.cpus)
    slices, at_once = capacity.offered()
    if args.gpus is not None:
        _refuse_too_many(args.gpus, sum(node.gpus * node.count for node in capacity.nodes()))
        at_once = min(at_once, args.gpus)
        slices = _spanning(slices, stock, args.gpus)
        capacity.check(slices, capacity.nodes())
    orders = [Order(str(s.seed), tuple(map(ticket, s.lineage()))) for s in lasts]
    with Display(stock, min(at_once, len(lasts))) as display:
        ran = cluster.run_trials(orders, store, slices, at_once, display.show)
    if any(outcome == "interrupted" for outcome, _ in ran.values()):
        raise KeyboardInterrupt
    for outcome, reason in ran.values():
        if outcome == "failed":
            raise BadInput(f"final training stopped: {reason}")


def _spanning(slices: dict[str, Slice], stock: Stock, gpus: int) -> dict[str, Slice]:
    """A pre-training takes all these GPUs; any other stage one of them, or a share of it."""
    for stage in stock.missing:
        if stage.family == "pre-training":
            assert isinstance(stage.config, Train)
            piece = slices[stage.family].over(gpus, stage.config.optim.batch)
            print(f"pre-training over {piece.ranks} GPUs, batch {stage.config.optim.batch}")
            return slices | {stage.family: piece}
    return slices


def _refuse_too_many(asked: int, there: float) -> None:
    if asked > there:
        raise BadInput(
            f"--gpus {asked}: the cluster can have {there:g}, so ask for no more, or leave --gpus "
            "out to take what there is"
        )


def _export(student: Stage, last: Stage, store: Store, choice: Choice, out: Path) -> None:
    """Weights, config, card and, if volumes were held out, what was measured on them."""
    out.mkdir(parents=True, exist_ok=True)
    folder, data = store.open(student.key), choice.settings.data
    for name in ("weights.safetensors", "network.json", "stage.json"):
        shutil.copyfile(folder / name, out / name)
    write_settings(out, data.patch, data.clip_percentile)
    (out / "card.md").write_text(card(out.name, choice, student))
    if last is not student:
        rows = (store.open(last.key) / "rows.json").read_text()
        (out / "holdout.json").write_text(rows)
        for row in json.loads(rows):
            print(f"held out: {row['volume']} DSC {row['dsc']:.3f}")


def _register(tracker: Tracker, study: str, choice: Choice, student: Stage, out: Path) -> None:
    """A model version, once per student stage."""
    scores = {name: c.mean for name, c in choice.scores.items() if c.folds}
    tags = {
        "vpbsd.stage": student.key,
        "vpbsd.arm": choice.arm,
        "vpbsd.seed": str(student.seed),
        "vpbsd.rule": choice.rule,
        "vpbsd.trials": " ".join(choice.runs),
    }
    version = Reach(tracker).insist(lambda: register(tracker, study, out, scores, tags))
    print(f"registered as model '{study}' version {version}; files in {out}")


if __name__ == "__main__":
    answer(main)
