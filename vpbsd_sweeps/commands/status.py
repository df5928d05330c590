"""How a study stands, from any terminal that sees its store: stages, trials, the best so far.

vpbsd status                 # the studies there are
vpbsd status STUDY           # one of them
vpbsd status STUDY --follow  # again every ten seconds
"""

from __future__ import annotations

import argparse
import time

from vpbsd.cli import command_parser
from vpbsd_sweeps.cli.options import add_places
from vpbsd_sweeps.monitor.status import standing
from vpbsd_sweeps.store.results import Store


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = command_parser("status", __doc__)
    parser.add_argument("study", nargs="?", help="name of the study; none lists them")
    parser.add_argument("--follow", action="store_true", help="again every ten seconds")
    add_places(parser)
    return parser.parse_args()


def main() -> None:
    """Prints how a study stands, and goes on if --follow is given."""
    args = arguments()
    store = Store(args.store)
    if args.study is None:
        print("\n".join(store.studies.names()) or f"no study in {store.url} yet")
        return
    print("\n".join(standing(args.study, store)), flush=True)
    while args.follow:
        time.sleep(10)
        print("\n" + "\n".join(standing(args.study, store)), flush=True)
