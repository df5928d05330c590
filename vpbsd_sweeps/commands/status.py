"""How a study stands, from any terminal that sees its store: stages, trials, the best so far.

vpbsd status                 # the studies there are
vpbsd status STUDY           # one of them
vpbsd status STUDY --follow  # again every ten seconds, until no driver runs it any more
"""

from __future__ import annotations

import argparse
import time

from vpbsd.cli import command_parser
from vpbsd_sweeps.cli.options import add_places, study_argument
from vpbsd_sweeps.monitor.status import standing
from vpbsd_sweeps.store.lock import holder
from vpbsd_sweeps.store.results import Store

EVERY = 10.0  # seconds


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = command_parser("status", __doc__)
    parser.add_argument(
        "study", type=study_argument, nargs="?", help="name of the study; none lists them"
    )
    parser.add_argument(
        "--follow", action="store_true", help="again every ten seconds, until it ends"
    )
    add_places(parser)
    return parser.parse_args()


def main() -> None:
    """Prints how a study stands; with --follow again until no driver runs it any more."""
    args = arguments()
    store = Store(args.store)
    if args.study is None:
        print("\n".join(store.studies.names()) or f"no study in {store.url} yet")
        return
    while True:  # the driver is looked up first, so that an end is shown
        driven = holder(args.study, store) is not None
        print("\n".join(standing(args.study, store)), flush=True)
        if not (args.follow and driven):
            return
        time.sleep(EVERY)
        print()
