"""Scores masks of other tools for a study that has ended: it grows by their arms, nothing else."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from typing import Any

from vpbsd.data.volumes import VolumeInfo
from vpbsd.errors import BadInput
from vpbsd.pipeline.arms import EXTERNAL
from vpbsd.settings import Settings
from vpbsd_sweeps.drivers.sweep import drive
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.external import not_trained
from vpbsd_sweeps.study.identity import data_fingerprint
from vpbsd_sweeps.study.plan import make_plan
from vpbsd_sweeps.study.study import Study


def study_of(name: str, identity: Mapping[str, Any], volumes: tuple[VolumeInfo, ...]) -> Study:
    """Makes a study again of what MLflow keeps of it, without masks of other tools.

    Raises:
        BadInput: It was run on other volumes.
    """
    if data_fingerprint(volumes) != identity["data"]:
        raise BadInput(
            f"study '{name}' was run on other volumes than these: pass the --data it was run on"
        )
    return Study(
        name=name,
        settings=Settings.model_validate(identity["settings"]),
        volumes=volumes,
        arms=tuple(arm for arm in identity["arms"] if not arm.startswith(EXTERNAL)),
        seeds=tuple(identity["seeds"]),
        teacher_seed=identity["teacher_seed"],
        timed=identity["timed"],
        choices={int(fold): chosen for fold, chosen in identity.get("choices", {}).items()},
    )


def score_masks(study: Study, store: Store, tracking: str, finished: Collection[str]) -> None:
    """Scores what is not scored yet of a study's masks of other tools, and logs it as its arms.

    Trials that have no result keep none, and are named: nothing is trained here.

    Args:
        study: With the masks.
        store: That it was run with.
        tracking: URI of MLflow.
        finished: Names of the trials that have a result in MLflow.

    Raises:
        BadInput: A result of these is not stored, so that this is not the study's store.
    """
    plan = make_plan(study, store)
    left = [trial.id for trial in plan.without_result()]
    lost = [trial for trial in left if trial in finished]
    if lost:
        raise BadInput(
            f"a report scores masks and trains nothing, but results of {len(lost)} trials of "
            f"study '{study.name}' are not stored in {store.url} ({lost[0]}): pass the --store "
            "that it was run with, or give --external to the command that ran it"
        )
    if left:
        print(
            not_trained(left, "the command that ran the study trains what is missing"),
            file=sys.stderr,
        )
    drive(plan, store, tracking, trains=False)
