"""`--normalise`: as the settings say, or chosen per fold on its training groups."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from vpbsd.data.folds import Fold
from vpbsd.errors import BadInput
from vpbsd.overrides import nearest
from vpbsd.pipeline.normalisation import CANDIDATES, CHOSEN, Overrides
from vpbsd.settings import Settings
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.normalisation import document, select, selection_lines
from vpbsd_sweeps.study.plan import gpu_hours

WAYS = ("none", "auto")


def add_normalise(parser: argparse.ArgumentParser) -> None:
    """Adds --normalise."""
    parser.add_argument(
        "--normalise",
        default="none",
        metavar="none|auto",
        help="none: as the settings say (default; --set data.clip_percentile=99.5 for another); "
        "auto: per fold, the best of short students on inner folds of its training groups, for "
        f"teacher and students alike; tried: {', '.join(CANDIDATES)}",
    )


def asks_choice(args: argparse.Namespace) -> bool:
    """Tells whether the normalisation is to be chosen.

    Raises:
        BadInput: --normalise is something else, or what it chooses is set or searched, too.
    """
    if args.normalise not in WAYS:
        raise BadInput(
            f"--normalise {args.normalise}: there is no such way{nearest(args.normalise, [*WAYS])}"
        )
    if args.normalise == "none":
        return False
    for text in [*args.set, *getattr(args, "param", [])]:
        path = text.partition("=")[0]
        if path in CHOSEN:
            raise BadInput(f"{path} is chosen by --normalise auto: leave out one of the two")
    return True


def chosen(
    name: str,
    settings: Settings,
    folds: tuple[Fold, ...],
    store: Store,
    args: argparse.Namespace,
    check: Callable[[float], None] = lambda hours: None,
) -> tuple[dict[int, Overrides], str]:
    """Chooses for every fold, trains what that lacks unless only a plan is wanted, and prints it.

    Args:
        name: Of the study or search.
        settings: Of it.
        folds: Of it.
        store: Where stages are looked up and committed.
        args: With --plan, --tracking and --cpus.
        check: Told the GPU-hours that are left to choose, before anything is run.

    Returns:
        Fold -> overrides, and the choice as Markdown; both empty where a plan comes before it.
    """
    selection = select(name, settings, folds)
    inventory = selection.inventory(store)
    print("\n".join(selection_lines(selection, inventory)), flush=True)
    if inventory.missing and args.plan:
        print("  not chosen yet: what follows is planned under the preset's settings")
        return {}, ""
    if args.plan:
        decisions = selection.decisions(store)
    else:
        check(gpu_hours(inventory))
        from vpbsd_sweeps.drivers.normalise import choose

        decisions = choose(selection, store, args.tracking, args.cpus)
    text = document(decisions)
    print(text, flush=True)
    return selection.choices(decisions), text
