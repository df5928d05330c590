"""What ablation.py and compare.py share: arms on every fold, each stage trained once, tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from shlex import quote

from vpbsd.cli import command_parser, invocation
from vpbsd.data.volumes import VolumeInfo, check_intensity
from vpbsd.errors import BadInput
from vpbsd.pipeline.arms import ARMS, GROUPS, THRESHOLDS
from vpbsd.pipeline.classes import with_classes
from vpbsd.pipeline.crossings import MATRIX, STUDENTS
from vpbsd.settings import Settings
from vpbsd_sweeps.cli.external import add_external, left_alone, with_external
from vpbsd_sweeps.cli.normalise import add_normalise, asks_choice, chosen
from vpbsd_sweeps.cli.options import (
    add_places,
    add_primary,
    add_settings,
    browse,
    given_places,
    seeds_of,
    settings_of,
    study_argument,
    study_name,
    volumes_of,
)
from vpbsd_sweeps.cli.output import show
from vpbsd_sweeps.execution.address import cluster_address
from vpbsd_sweeps.messages import without_secrets
from vpbsd_sweeps.reporting.columns import IN_UM, check_primary
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.external import not_trained
from vpbsd_sweeps.study.label_studies import (
    LabelPlan,
    counts_of,
    label_studies,
    make_label_plan,
)
from vpbsd_sweeps.study.plan import Plan, make_plan, preview
from vpbsd_sweeps.study.study import Study, check_arms


def arguments(
    command: str, about: str | None, arms: str, *, crosses: bool = False
) -> argparse.Namespace:
    """Reads the command line of `command`, whose default arms are `arms`.

    One that `crosses` takes --pretraining.
    """
    parser = command_parser(command, about)
    add_places(parser)
    add_settings(parser)
    add_normalise(parser)
    add_primary(parser)
    add_external(parser)
    parser.add_argument(
        "--arms",
        metavar="A,B",
        default=arms,
        help=f"arms, or tables of them (default {arms}); tables: {', '.join(GROUPS)}; "
        f"arms: {', '.join(ARMS)}; arm:NAME is the arm where a table has its name, kd_on_s2dc the "
        "arm kd on a teacher pre-trained by s2dc",
    )
    parser.add_argument("--seeds", default="0", metavar="0,1", help="student seeds (default 0)")
    parser.add_argument(
        "--labels",
        metavar="1,2,all",
        help="label efficiency: one study per number of training groups that keep their labels, "
        "NAME-labels1 and so on, then DSC against labels (default: one study with all labels)",
    )
    parser.add_argument(
        "--study", type=study_argument, metavar="NAME", help="default: made of preset and data"
    )
    parser.add_argument("--plan", action="store_true", help="print what would be run, and stop")
    parser.add_argument(
        "--max-gpu-hours", type=float, metavar="H", help="refuse to start above this estimate"
    )
    parser.add_argument("--cpus", type=int, metavar="N", help="cores of a local Ray")
    if crosses:
        parser.add_argument(
            "--pretraining",
            action="store_true",
            help=f"cross {', '.join(STUDENTS)}, or the --arms given, with every pre-training: "
            f"{', '.join(MATRIX)}",
        )
    return parser.parse_args()


def sweep(kind: str, args: argparse.Namespace, *, timed: bool = False) -> int:
    """Plans, runs what is missing, prints the tables.

    Args:
        kind: First word of the study's default name.
        args: From `arguments`.
        timed: Whether networks are timed too.

    Returns:
        0, or 1 if some trials have no result.
    """
    if not args.plan:
        cluster_address()  # one that does not answer is refused before anything is made
    counts = counts_of(args.labels) if args.labels else None
    volumes = volumes_of(args)
    settings = with_classes(settings_of(args), volumes)
    arms = _possible(check_arms(args.arms.split(",")), settings)
    seeds, store = seeds_of(args.seeds), Store(args.store)
    name = study_name(args, kind)
    primary = _primary(args.primary, volumes)
    study = Study(name, settings, volumes, arms, seeds, timed=timed, primary=primary)
    check_intensity(study.volumes, settings.data)
    study = with_external(study, args)
    if counts and asks_choice(args):
        raise BadInput(
            "--labels and --normalise auto: each number of labels would choose for itself; choose "
            "once without --labels, then --set what it chose"
        )
    if counts:
        return _sweep_labels(make_label_plan(label_studies(study, counts), store), args, store)
    normalisation, chooses = "", asks_choice(args)
    if chooses:
        study, normalisation = _normalised(study, store, args)
    undecided = chooses and not normalisation
    plan = preview(study, store) if undecided else make_plan(study, store)
    left = left_alone(args, plan, store)
    if not _goes_on(plan, args, left):
        return 0
    from vpbsd_sweeps.drivers.sweep import drive

    tables, complete = drive(plan, store, args.tracking, args.cpus, normalisation, trains=not left)
    print()
    show(tables)
    if args.preset == "smoke":
        print("note     preset smoke shows that all works; its numbers and verdict say nothing")
    print(f"results  {store.url}")
    print(f"browse   {browse(args.tracking, study.name)}")
    print(f"next     {invocation('final')} --study {quote(study.name)}{given_places(args)}")
    return 0 if complete else 1


def _primary(metric: str | None, volumes: Iterable[VolumeInfo]) -> str | None:
    """Returns the metric that is to decide, if one is given.

    Raises:
        BadInput: There is none of that name, or it will not be measured on these volumes.
    """
    if metric is None:
        return None
    in_voxels = {um: voxels for voxels, um in IN_UM.items()}.get(check_primary(metric))
    unknown = [v.name for v in volumes if v.labelled and v.spacing_um is None]
    if in_voxels and unknown:
        raise BadInput(
            f"--primary {metric}: the voxel size of {unknown[0]} is not known, so nothing is "
            f"measured in micrometres there: pass --primary {in_voxels}, or import it with "
            "--spacing"
        )
    return metric


def _possible(arms: tuple[str, ...], settings: Settings) -> tuple[str, ...]:
    """Leaves thresholds out where there is more than one class to tell apart."""
    if settings.data.classes == 2 or not THRESHOLDS.keys() & set(arms):
        return arms
    print("one threshold cannot tell classes apart: its rows are left out", file=sys.stderr)
    return tuple(arm for arm in arms if arm not in THRESHOLDS)


def _goes_on(plan: Plan | LabelPlan, args: argparse.Namespace, left: Sequence[str] = ()) -> bool:
    """Prints a plan; tells whether it is to be run, and refuses one that takes too much.

    Trials that are left alone take nothing, and are named.
    """
    print("\n".join(plan.lines()), flush=True)
    if left:
        print(not_trained(left, "the same command without --external trains what is missing"))
    elif not args.plan:
        plan.check_budget(args.max_gpu_hours)
    return not args.plan


def _sweep_labels(plan: LabelPlan, args: argparse.Namespace, store: Store) -> int:
    """Does the same for one study per number of labelled groups, and prints one page of all."""
    left = {one.study.name: left_alone(args, one, store) for one in plan.plans}
    if not _goes_on(plan, args, [f"{n}: {trial}" for n, some in left.items() for trial in some]):
        return 0
    from vpbsd_sweeps.drivers.labels import drive_labels

    alone = {name for name, trials in left.items() if trials}
    page, complete = drive_labels(plan.study, store, args.tracking, args.cpus, alone)
    names = [study.name for study in plan.study.studies]
    tracked = without_secrets(args.tracking)
    print()
    show(page)
    print(f"results  {store.url}")
    print(f"browse   {browse(args.tracking)}, experiments {', '.join(names)}")
    given = f" --tracking {quote(tracked)}" if tracked == args.tracking else ""
    print(f"next     {invocation('report')} {quote(plan.study.name)}{given}")
    return 0 if complete else 1


def _normalised(study: Study, store: Store, args: argparse.Namespace) -> tuple[Study, str]:
    """Returns the study under what its folds choose, and what that is."""

    def check(before: float) -> None:
        preview(study, store).check_budget(args.max_gpu_hours, before)

    choices, text = chosen(study.name, study.settings, study.folds, store, args, check)
    decided = replace(study, choices=choices)
    for fold in study.folds:
        check_intensity(study.volumes, decided.settings_in(fold.index).data)
    return decided, text
