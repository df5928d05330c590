"""The search: configurations of one arm, tried where they promise most, each stage trained once.

vpbsd search                          # small, on generated vessels
vpbsd search --data DIR --trials 100  # on your volumes
vpbsd search --space student --param student.gamma=0.1:10:log
vpbsd search --plan                   # what is searched and what it costs, and stop

The same command goes on where it was stopped, and more --trials add to what is there.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from vpbsd.cli import command_parser
from vpbsd.data.folds import held_out, make_folds
from vpbsd.errors import BadInput
from vpbsd.pipeline.arms import THRESHOLDS
from vpbsd.pipeline.classes import with_classes
from vpbsd.pipeline.normalisation import CHOSEN
from vpbsd_sweeps.cli.normalise import add_normalise, asks_choice, chosen
from vpbsd_sweeps.cli.options import (
    add_places,
    add_settings,
    browse,
    seeds_of,
    settings_of,
    study_argument,
    study_name,
    volumes_of,
)
from vpbsd_sweeps.execution.address import cluster_address
from vpbsd_sweeps.messages import without_secrets
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.study import check_arm
from vpbsd_sweeps.tuning.default_space import WIDTHS, space_of
from vpbsd_sweeps.tuning.plan import plan_lines
from vpbsd_sweeps.tuning.ranking import best
from vpbsd_sweeps.tuning.search_spec import (
    SAMPLERS,
    SCHEDULERS,
    Search,
    check_sampler,
    scheduler_of,
    stage_of,
)


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = command_parser("search", __doc__)
    add_places(parser)
    add_settings(parser)
    add_normalise(parser)
    parser.add_argument("--arm", default="vpbsd", help="whose student is searched (vpbsd)")
    parser.add_argument(
        "--space",
        default="all",
        choices=("all", "student"),
        help="student: only what needs no other teacher (default all)",
    )
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="PATH=RANGE",
        help="search a setting over low:high, low:high:log or a,b,c; may be repeated",
    )
    parser.add_argument("--sampler", default="tpe", help=f"any of {', '.join(SAMPLERS)} (tpe)")
    parser.add_argument(
        "--scheduler",
        choices=SCHEDULERS,
        help="who stops students early, on the first fold: Ray Tune's ASHA, its median rule, or "
        "nobody (default median; none with --sampler nsga2)",
    )
    parser.add_argument("--trials", type=int, default=40, metavar="N", help="in all (default 40)")
    parser.add_argument(
        "--students-per-teacher",
        type=int,
        default=8,
        metavar="N",
        help="students tried in a row with each teacher (default 8)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the sampler (default 0)")
    parser.add_argument("--seeds", default="0", metavar="0,1", help="student seeds (default 0)")
    parser.add_argument(
        "--warm-from",
        type=study_argument,
        action="append",
        default=[],
        metavar="STUDY",
        help="learn from the finished trials of another search; may be repeated",
    )
    parser.add_argument(
        "--study", type=study_argument, metavar="NAME", help="default: made of preset and data"
    )
    parser.add_argument("--plan", action="store_true", help="print what would be run, and stop")
    parser.add_argument("--cpus", type=int, metavar="N", help="cores of a local Ray")
    return parser.parse_args()


def main() -> int:
    """Plans, searches, prints what was found."""
    args = arguments()
    for name in ("trials", "students_per_teacher"):
        if getattr(args, name) < 1:
            raise BadInput(f"--{name.replace('_', '-')} must be 1 or more")
    if not args.plan:
        cluster_address()  # one that does not answer is refused before anything is made
    search, store = search_of(args), Store(args.store)
    if asks_choice(args):
        settings = search.space.settings
        choices, _ = chosen(search.name, settings, search.folds, store, args)
        search = replace(search, choices=choices)
    print("\n".join(plan_lines(search, store, args.trials)), flush=True)
    if args.plan:
        return 0
    from vpbsd_sweeps.drivers.search import drive
    from vpbsd_sweeps.reporting.search_tables import command

    text, journal = drive(search, store, args.tracking, args.trials, args.warm_from, args.cpus)
    print(f"\n{text}")
    ranked = best(journal)
    if ranked:
        print(f"next     {command(search, journal.asked[ranked[0].number], _given(args))}")
    print(f"browse   {browse(args.tracking, search.name)}")
    return 0 if ranked else 1


def _given(args: argparse.Namespace) -> list[str]:
    """Collects the words of this command line that hold for an ablation too."""
    words = ["--preset", args.preset, *(["--normalise", "auto"] if asks_choice(args) else [])]
    for name in ("data", "protocol", "folds", "split"):
        words += [] if getattr(args, name) is None else [f"--{name}", str(getattr(args, name))]
    words += ["--phantom", args.phantom] if args.phantom != "plain" else []
    for change in args.set:
        words += ["--set", change]
    return [*words, "--store", args.store, "--tracking", without_secrets(args.tracking)]


def search_of(args: argparse.Namespace) -> Search:
    """Makes the search that the command line asks for.

    Raises:
        BadInput: Something in it cannot be.
    """
    check_sampler(args.sampler)
    arm = check_arm(args.arm)
    if arm in THRESHOLDS:
        raise BadInput(f"--arm {arm}: it trains nothing, so there is nothing to search")
    volumes = volumes_of(args)
    settings = with_classes(settings_of(args), volumes)
    fold = held_out(make_folds(volumes, settings.protocol)[0])
    ranges = list(args.param)
    if args.sampler == "nsga2" and not any(text.startswith(WIDTHS) for text in ranges):
        ranges.append(WIDTHS)
    students = args.space == "student"
    space = space_of(settings, args.preset, stage_of(arm, fold), ranges, students=students)
    return Search(
        name=study_name(args, "search"),
        volumes=volumes,
        arm=arm,
        seeds=seeds_of(args.seeds),
        space=space.without(CHOSEN) if asks_choice(args) else space,
        sampler=args.sampler,
        seed=args.seed,
        # with nothing of a student to vary, more of them would be the same one
        students_per_teacher=args.students_per_teacher if space.student else 1,
        scheduler=scheduler_of(args.sampler, args.scheduler),
    )
