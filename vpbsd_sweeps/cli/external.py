"""`--external`: masks of any other tool, or of a person, as arms of a study."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from vpbsd.errors import BadInput
from vpbsd.overrides import nearest
from vpbsd.pipeline.arms import EXTERNAL
from vpbsd_sweeps.monitor.status import last_verdict
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.external import ExternalMasks, given_masks
from vpbsd_sweeps.study.plan import Plan
from vpbsd_sweeps.study.study import Study


def add_external(parser: argparse.ArgumentParser) -> None:
    """Adds --external and --external-unseen."""
    parser.add_argument(
        "--external",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="score the masks in FOLDER, one per test volume and named as it, as an arm: those "
        "of nnU-Net, vesselFM, a person; may be repeated",
    )
    parser.add_argument(
        "--external-unseen",
        action="append",
        default=[],
        metavar="NAME",
        help="what made the masks of NAME was trained on none of these volumes; else its row is "
        "marked as one that may have been",
    )


def with_external(study: Study, args: argparse.Namespace) -> Study:
    """Returns a study with the arms that --external gives; reads their masks.

    Raises:
        BadInput: An option names no masks or the same twice, or see `given_masks`.
    """
    folders = _folders(args.external)
    for name in args.external_unseen:
        if name not in folders:
            raise BadInput(
                f"--external-unseen {name}: no masks of that name{nearest(name, list(folders))}: "
                f"give --external {name}=FOLDER, too"
            )
    if not folders:
        return study
    tested = {part.volume.name for fold in study.folds for part in fold.test}
    given = given_masks(folders, args.external_unseen, study.volumes, sorted(tested))
    return with_arms(study, given)


def with_arms(study: Study, masks: Sequence[ExternalMasks]) -> Study:
    """Returns a study with masks of other tools as its last arms."""
    arms = dict.fromkeys([*study.arms, *(one.arm for one in masks)])
    return replace(study, arms=tuple(arms), external=tuple(masks))


def left_alone(args: argparse.Namespace, plan: Plan, store: Store) -> list[str]:
    """Lists the trials without a result that --external does not mean to train.

    Those are trials that failed before the study ended, where the command adds nothing but masks.

    Args:
        args: The command line.
        plan: Of what the study grows to.
        store: Of its results.
    """
    known = plan.known
    if not args.external or known is None or last_verdict(plan.study.name, store) is None:
        return []
    trained = [arm for arm in plan.study.arms if not arm.startswith(EXTERNAL)]
    before = [arm for arm in known["arms"] if not arm.startswith(EXTERNAL)]
    if trained != before or list(plan.study.seeds) != known["seeds"]:
        return []
    return [trial.id for trial in plan.without_result()]


def _folders(words: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        name, is_, folder = word.partition("=")
        if not (name and is_ and folder):
            raise BadInput(f"--external {word}: give NAME=FOLDER, such as nnunet=predictions/")
        if name in found:
            raise BadInput(f"--external names {name} twice: give each tool a name of its own")
        found[name] = folder
    return found
