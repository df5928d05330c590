"""The ablation of VpbSD: every arm on every fold, each stage trained once, one table at the end.

python sweeps/ablation.py                       # small, on generated vessels
python sweeps/ablation.py --data DIR            # on your volumes
python sweeps/ablation.py --preset paper --data DIR --seeds 0,1,2
python sweeps/ablation.py --plan                # what would be run, and stop
"""

from __future__ import annotations

import argparse

from sweeps.arguments import (
    add_places,
    add_settings,
    seeds_of,
    settings_of,
    study_name,
    volumes_of,
)
from sweeps.plan import make_plan
from sweeps.store import Store
from sweeps.study import Study, check_arms
from vpbsd.command import Parser, answer
from vpbsd.recipes import ARMS


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_places(parser)
    add_settings(parser)
    parser.add_argument(
        "--arms",
        default=",".join(ARMS),
        metavar="A,B",
        help=f"rows of the table (default all: {', '.join(ARMS)})",
    )
    parser.add_argument("--seeds", default="0", metavar="0,1", help="student seeds (default 0)")
    parser.add_argument("--study", metavar="NAME", help="default: made of preset and data")
    parser.add_argument("--plan", action="store_true", help="print what would be run, and stop")
    parser.add_argument("--cpus", type=int, metavar="N", help="cores of a local Ray")
    return parser.parse_args()


def main() -> int:
    """Plans, runs what is missing, prints the table."""
    args = arguments()
    settings, arms = settings_of(args), check_arms(args.arms.split(","))
    seeds, store = seeds_of(args.seeds), Store(args.store)
    study = Study(study_name(args, "ablation"), settings, volumes_of(args), arms, seeds)
    plan = make_plan(study, store)
    print("\n".join(plan.lines()), flush=True)
    if args.plan:
        return 0
    from sweeps.drive import drive

    table, complete = drive(plan, store, args.tracking, cpus=args.cpus)
    print(f"\n{table}")
    print(f"results  {store.url}")
    print(f"browse   mlflow ui --backend-store-uri {args.tracking}")
    print(f"         then open http://127.0.0.1:5000 and the experiment '{study.name}'")
    print(f"next     python sweeps/final.py --study {study.name}")
    return 0 if complete else 1


if __name__ == "__main__":
    answer(main)
