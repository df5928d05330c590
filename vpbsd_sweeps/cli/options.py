"""What every sweep script takes: data, settings, and where things lie."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

from vpbsd.cli import invocation
from vpbsd.data.phantom_set import KINDS, phantom_folder, phantom_place
from vpbsd.data.volumes import VolumeInfo, list_volumes
from vpbsd.errors import BadInput
from vpbsd.overrides import parse_changes
from vpbsd.published import PROTOCOLS, published, settings_from
from vpbsd.settings import Settings
from vpbsd_sweeps.messages import without_secrets
from vpbsd_sweeps.reporting.columns import COLUMNS, PRIMARY
from vpbsd_sweeps.study.names import study_named

RUNS = "runs"


def add_places(parser: argparse.ArgumentParser) -> None:
    """Adds --data, --store, --tracking; each defaults to a VPBSD_* variable, then to ./runs.

    And --phantom: which vessels are generated where there are no data.
    """
    parser.add_argument(
        "--data",
        default=os.environ.get("VPBSD_DATA"),
        metavar="DIR",
        help=f"folder of volumes made by `{invocation('import')}`; default $VPBSD_DATA, "
        "else procedurally generated vessels (phantom)",
    )
    parser.add_argument(
        "--phantom",
        choices=KINDS,
        default="plain",
        help="vessels to generate without --data: plain, animals much alike, six labelled and "
        "eight not (default); wide, fifteen labelled animals that differ",
    )
    parser.add_argument(
        "--store",
        default=default_store(),
        metavar="URL",
        help="where stage results are kept: a folder or any fsspec URL such as s3://bucket/path "
        "(default $VPBSD_STORE, else runs/store)",
    )
    add_tracking(parser)


def default_store() -> str:
    """Returns where results are kept unless --store says otherwise."""
    return os.environ.get("VPBSD_STORE", f"{RUNS}/store")


def default_tracking() -> str:
    """Returns where MLflow is unless --tracking says otherwise."""
    return os.environ.get("VPBSD_TRACKING", f"sqlite:///{Path(RUNS).resolve()}/mlflow.db")


def add_tracking(parser: argparse.ArgumentParser) -> None:
    """Adds --tracking: where MLflow is."""
    parser.add_argument(
        "--tracking",
        default=default_tracking(),
        metavar="URI",
        help="MLflow tracking URI (default $VPBSD_TRACKING, else a SQLite file in runs/)",
    )


def browse(tracking: str, study: str = "") -> str:
    """Says how to look at MLflow: at its server, or by starting one on this host.

    Args:
        tracking: URI of MLflow.
        study: Whose trials are to be looked at; "": the first page.
    """
    place = without_secrets(tracking)
    if place.startswith(("http://", "https://")):
        from vpbsd_sweeps.tracking.runs_page import runs_page

        return f"{place.rstrip('/')}{runs_page(tracking, study)}" if study else place
    words = [invocation("ui"), *([shlex.quote(study)] if study else [])]
    if place == tracking:  # else its secrets are in the environment, and stay there
        words += ["--tracking", shlex.quote(place)]
    return " ".join(words)


def given_places(args: argparse.Namespace) -> str:
    """Renders --data, --store and --tracking for the next command, which has other defaults."""
    words: list[str] = []
    if args.data or args.phantom != "plain" or _smokes(args):
        place = phantom_place(Path(RUNS), args.phantom, small=_smokes(args))
        words += ["--data", args.data or str(place)]
    words += ["--store", args.store]
    if without_secrets(args.tracking) == args.tracking:
        words += ["--tracking", args.tracking]
    return "".join(f" {shlex.quote(word)}" for word in words)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Adds --preset, --set and the protocol."""
    parser.add_argument(
        "--preset",
        default="laptop",
        metavar="NAME",
        help="laptop: small, minutes on two cores (default); smoke: under a minute, to see that "
        "it works; paper: the published settings",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help="change one setting, such as student.gamma=0.5; may be repeated",
    )
    parser.add_argument(
        "--protocol",
        metavar="NAME",
        help=f"a published protocol, its split and settings: {', '.join(PROTOCOLS)}; --set goes "
        "further",
    )
    parser.add_argument("--folds", type=int, metavar="N", help="cross-validation folds")
    parser.add_argument(
        "--split",
        metavar="group|space",
        help="folds of whole groups, or of regions within volumes where groups are few",
    )


def settings_of(args: argparse.Namespace) -> Settings:
    """Makes the preset with all changes.

    Raises:
        BadInput: Unknown preset, protocol or path, or a value out of range.
    """
    changes = parse_changes(args.set)
    if args.protocol and getattr(args, "labels", None):  # which says how many keep theirs
        changes = {"protocol.train_groups": None} | changes
    if args.folds is not None:
        changes["protocol.folds"] = args.folds
    if args.split is not None:
        changes["protocol.split"] = args.split
    return settings_from(args.preset, args.protocol, changes)


def volumes_of(args: argparse.Namespace) -> tuple[VolumeInfo, ...]:
    """Lists the data set; the phantom is generated where no data are given.

    Raises:
        BadInput: No such folder, no volume in it, or both data and a phantom asked for.
    """
    if args.data and args.phantom != "plain":
        raise BadInput(
            f"--phantom {args.phantom} generates vessels, but data are given ({args.data}, by "
            "--data or $VPBSD_DATA): leave one of them out"
        )
    folder = args.data or phantom_folder(Path(RUNS), args.phantom, small=_smokes(args))
    volumes = list_volumes(folder)
    protocol = getattr(args, "protocol", None)
    if protocol and (doubt := published(protocol).doubt(protocol, volumes)):
        print(doubt, file=sys.stderr)
    return volumes


def _smokes(args: argparse.Namespace) -> bool:
    return getattr(args, "preset", None) == "smoke"


def study_name(args: argparse.Namespace, kind: str) -> str:
    """Returns the name given, or one of what is run: kind, preset, data and split.

    Raises:
        BadInput: The folder of the data has a name that no study can have.
    """
    if args.study is not None:
        return str(args.study)
    generated = "phantom" if args.phantom == "plain" else f"phantom-{args.phantom}"
    data = Path(args.data).resolve().name if args.data else generated
    split = "-space" if args.split == "space" else ""
    chosen = "-auto" if getattr(args, "normalise", "none") == "auto" else ""
    protocol = f"-{args.protocol}" if args.protocol else ""
    try:
        return study_named(f"{kind}-{args.preset}-{data}{protocol}{split}{chosen}")
    except BadInput as error:  # the folder of the data has a name that no study can have
        raise BadInput(f"{error}; pass --study NAME") from None


def study_argument(text: str) -> str:
    """Reads the name of a study, as the `type` of an argument."""
    try:
        return study_named(text)
    except BadInput as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_primary(parser: argparse.ArgumentParser) -> None:
    """Adds --primary: which metric decides."""
    parser.add_argument(
        "--primary",
        metavar="METRIC",
        help="the metric that decides, chosen before the results are seen: "
        f"{', '.join(COLUMNS)} (default: what the study declared when it began, else {PRIMARY})",
    )


def seeds_of(text: str) -> tuple[int, ...]:
    """Reads seeds, each once.

    Raises:
        BadInput: Something is no whole number.

    >>> seeds_of("0,1,2")
    (0, 1, 2)
    """
    try:
        return tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise BadInput(f"--seeds {text}: give whole numbers such as 0,1,2") from None
