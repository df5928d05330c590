"""Label efficiency, driven: study by study over one store, then one page of all of them."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory

from vpbsd_sweeps.drivers.sweep import drive
from vpbsd_sweeps.reporting.label_efficiency import LabelEfficiency, label_efficiency
from vpbsd_sweeps.reporting.label_figure import draw
from vpbsd_sweeps.reporting.label_tables import document
from vpbsd_sweeps.reporting.records import load_records
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.label_studies import LabelStudies
from vpbsd_sweeps.study.plan import make_plan
from vpbsd_sweeps.tracking.retry import RetryingTracker
from vpbsd_sweeps.tracking.tracker import Tracker, open_tracker


def drive_labels(
    studies: LabelStudies,
    store: Store,
    tracking: str,
    cpus: int | None = None,
    untrained: Collection[str] = (),
) -> tuple[str, bool]:
    """Brings all studies to their end, one after another: none trains what an earlier one has.

    Args:
        studies: With other numbers of labelled groups.
        store: Where stages are looked up and committed.
        tracking: URI of MLflow.
        cpus: Cores of a local Ray; None: all.
        untrained: Names of studies of which only masks of other tools are scored.

    Returns:
        The page as Markdown, and whether every trial has a result.

    Raises:
        BadInput: The store cannot be written, or a name belongs to another study.
    """
    complete = True
    for study in studies.studies:
        print(f"study {study.name}", file=sys.stderr, flush=True)
        trains = study.name not in untrained
        _, done = drive(make_plan(study, store), store, tracking, cpus, trains=trains)
        complete = complete and done
    trackers = [open_tracker(tracking, study.name) for study in studies.studies]
    found = RetryingTracker(trackers[-1]).retry(lambda: _conclude(trackers, studies))
    return document(found), complete


def _conclude(trackers: list[Tracker], studies: LabelStudies) -> LabelEfficiency:
    """Reads all studies back from MLflow; logs what they say together to the last one's run."""
    found = label_efficiency(
        [load_records(t, study.name) for t, study in zip(trackers, studies.studies, strict=True)]
    )
    last, parent = trackers[-1], found.records[-1].parent
    last.log_text(parent, document(found), "labels.md")
    with TemporaryDirectory(prefix="vpbsd-") as room:
        for picture in draw(found, Path(room)):
            last.log_file(parent, picture)
    return found
