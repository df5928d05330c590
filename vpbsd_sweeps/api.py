"""Planning and running a study from Python; the example stands in the package's docstring."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vpbsd.data.phantom_set import Kind, phantom_folder
from vpbsd.data.volumes import check_intensity, list_volumes
from vpbsd.pipeline.classes import with_classes
from vpbsd.published import settings_from
from vpbsd_sweeps.cli.options import RUNS, default_store, default_tracking
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.names import study_named
from vpbsd_sweeps.study.plan import Plan, make_plan
from vpbsd_sweeps.study.study import Study, check_arms

if TYPE_CHECKING:
    from vpbsd_sweeps.reporting.records import TrialResult

__all__ = ["Plan", "Study", "StudyResult", "make_study", "plan_study", "run_study"]


@dataclass(frozen=True)
class StudyResult:
    """What came out of a study.

    Attributes:
        table: Mean and spread over folds of every arm and metric, as Markdown.
        complete: True if every trial has a result.
        trials: By arm, fold and seed, each with its values per metric and test volume.
    """

    table: str
    complete: bool
    trials: tuple[TrialResult, ...]


def make_study(  # noqa: PLR0913 (the words of the command line)
    name: str,
    data: str | Path | None,
    arms: Iterable[str],
    preset: str = "laptop",
    changes: Mapping[str, object] | None = None,
    seeds: Iterable[int] = (0,),
    phantom: Kind = "plain",
    protocol: str | None = None,
) -> Study:
    """Describes a study: arms x folds x seeds of one data set.

    Args:
        name: Of the study and of its MLflow experiment; it stands for these settings only.
        data: A folder of imported volumes; None: generated vessels, made once in ``runs/``.
        arms: Arms or tables of arms, as `--arms` takes them.
        preset: The settings to begin with.
        changes: Dotted path -> value, as `--set` takes them: ``{"student.gamma": 0.5}``.
        seeds: Of the students, >= 0.
        phantom: Which vessels are generated where there are no data.
        protocol: A published one, as `--protocol` takes it; between preset and changes.

    Raises:
        BadInput: No such arm, preset, protocol, path or folder, a value out of range, or a name
            that no study can have.
    """
    settings = settings_from(preset, protocol, changes)
    volumes = list_volumes(data or phantom_folder(Path(RUNS), phantom, small=preset == "smoke"))
    settings = with_classes(settings, volumes)
    check_intensity(volumes, settings.data)
    return Study(study_named(name), settings, volumes, check_arms(list(arms)), tuple(seeds))


def plan_study(study: Study, store: str | None = None) -> Plan:
    """Looks up which stages are stored and what the others will cost; trains nothing.

    Args:
        study: From `make_study`.
        store: Folder or fsspec URL of results (default $VPBSD_STORE, else runs/store).

    Raises:
        BadInput: The data set does not allow the study's folds.
    """
    return make_plan(study, Store(store or default_store()))


def run_study(
    plan: Plan, store: str | None = None, tracking: str | None = None, cpus: int | None = None
) -> StudyResult:
    """Trains what is not stored, on the Ray cluster there is, else on a Ray of this host.

    Args:
        plan: From `plan_study`, of the same store.
        store: As in `plan_study`.
        tracking: MLflow tracking URI (default $VPBSD_TRACKING, else a SQLite file in runs/).
        cpus: Cores of a Ray of this host (default all).

    Raises:
        BadInput: The store cannot be written, or the name stands for another study.
    """
    from vpbsd_sweeps.drivers.sweep import drive  # Ray and MLflow take seconds; a plan needs none
    from vpbsd_sweeps.reporting.records import load_records
    from vpbsd_sweeps.tracking.tracker import open_tracker

    uri = tracking or default_tracking()
    table, complete = drive(plan, Store(store or default_store()), uri, cpus=cpus)
    records = load_records(open_tracker(uri, plan.study.name), plan.study.name)
    return StudyResult(table, complete, records.trials)
