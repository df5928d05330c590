"""Look after the store: free what no study needs any more, check that results are what they were.

vpbsd store gc --dry-run              # what is needed by no study, and how much it is
vpbsd store gc --keep mine yours      # free all but what these studies need; asks first
vpbsd store gc --older 30 --yes       # free what no study needs and is older than 30 days
vpbsd store verify                    # read every result again, name the damaged ones
vpbsd store verify --set-aside        # and let the commands of their studies train them anew

What a running study needs, and whatever is younger than an hour, stays in any case.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator

from vpbsd.cli import command_parser
from vpbsd.errors import BadInput
from vpbsd_sweeps.cli.options import default_store
from vpbsd_sweeps.store.garbage import RESULTS, Piece, free, garbage
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.store.verification import verify
from vpbsd_sweeps.study.reachable import kept, listed
from vpbsd_sweeps.units import volume

DAY = 86400.0
AT_ONCE = 100
"""Pieces that are freed before it is asked again what studies need."""


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = command_parser("store", __doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="gc|verify")
    gc = actions.add_parser("gc", help="free what no study needs")
    gc.add_argument(
        "--keep", nargs="+", metavar="STUDY", help="keep what these need (default: all studies)"
    )
    gc.add_argument(
        "--older", type=float, default=0.0, metavar="DAYS", help="only what is older than this"
    )
    gc.add_argument("--dry-run", action="store_true", help="say what would be freed, and stop")
    gc.add_argument("--yes", action="store_true", help="do not ask")
    check = actions.add_parser("verify", help="read every result again")
    check.add_argument(
        "--set-aside",
        action="store_true",
        help="rename manifests of damaged results, so that they are trained again",
    )
    for action in (gc, check):
        action.add_argument(
            "--store",
            default=default_store(),
            metavar="URL",
            help="default $VPBSD_STORE, else runs/store",
        )
    return parser.parse_args()


def main() -> int:
    """Frees or verifies; 1 if a result is damaged."""
    args = arguments()
    store = Store(args.store)
    if args.action == "verify":
        return _verify(store, set_aside=args.set_aside)
    if args.older < 0:
        raise BadInput(f"--older {args.older:g}: give days, 0 or more")
    return _collect(store, args)


def _collect(store: Store, args: argparse.Namespace) -> int:
    needs = kept(store, args.keep)
    found = _garbage(store, args)
    print("\n".join(_told(needs, found)))
    if args.dry_run or not found:
        return 0
    if not args.yes:
        _ask()
    freed = _free(store, args, found)
    print(f"freed {volume(sum(piece.size for piece in freed))}")
    return 0


def _needed(store: Store, args: argparse.Namespace) -> set[str]:
    """Returns the keys that studies need at this moment."""
    return set().union(*kept(store, args.keep).values())


def _garbage(store: Store, args: argparse.Namespace) -> list[Piece]:
    return list(garbage(store, _needed(store, args), args.older * DAY))


def _free(store: Store, args: argparse.Namespace, found: list[Piece]) -> list[Piece]:
    """Frees what was told of, unless somebody has touched it or a study needs it since then."""
    still = [piece for piece in _garbage(store, args) if piece in set(found)]
    freed: list[Piece] = []
    for start in range(0, len(still), AT_ONCE):
        needed = _needed(store, args)
        for piece in still[start : start + AT_ONCE]:
            if piece.name not in needed:
                free(store, piece)
                freed.append(piece)
    return freed


def _told(needs: dict[str, set[str]], found: list[Piece]) -> Iterator[str]:
    """Yields what is kept for whom, and what would be freed."""
    needed = set().union(*needs.values())
    yield f"kept for {', '.join(needs) or 'no study'}: {len(needed)} stages"
    kinds = Counter(piece.kind for piece in found)
    results = kinds[RESULTS]
    yield (
        f"to free: {results} results and {kinds.total() - results} unfinished stages, "
        f"{volume(sum(piece.size for piece in found))}"
    )


def _ask() -> None:
    """Lets a person agree.

    Raises:
        BadInput: Nobody is there, or the answer is not yes.
    """
    if not sys.stdin.isatty():
        raise BadInput("nobody can be asked here: pass --yes to free it, or --dry-run to look")
    if input("free it? [y/N] ").strip().lower() not in ("y", "yes"):
        raise BadInput("nothing was freed")


def _verify(store: Store, *, set_aside: bool) -> int:
    damaged, count = [], 0
    for key, why in verify(store):
        count += 1
        if why:
            damaged.append(key)
            print(f"damaged  {key}: {why}", flush=True)
            if set_aside:
                store.set_aside(key, why)
    print(f"{count} results read, {len(damaged)} damaged")
    if damaged:
        print(_remedy(store, damaged, set_aside=set_aside))
    return 1 if damaged else 0


def _remedy(store: Store, damaged: list[str], *, set_aside: bool) -> str:
    studies = [n for n in store.studies.names() if not listed(store, n).isdisjoint(damaged)]
    again = "they are absent now" if set_aside else "with --set-aside they are absent"
    whose = f"the commands of {', '.join(studies)} train" if studies else "who needs them trains"
    return f"{again}: {whose} them again"
