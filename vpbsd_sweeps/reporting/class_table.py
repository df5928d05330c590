"""DSC of every class on its own, where labels have more than one."""

from __future__ import annotations

from vpbsd_sweeps.reporting.analysis import StudyAnalysis
from vpbsd_sweeps.reporting.columns import PRIMARY
from vpbsd_sweeps.reporting.grid import NOTHING, Grid, Item

PREFIX = f"{PRIMARY}_"


def class_table(analysis: StudyAnalysis) -> Grid:
    """Makes a row per arm, a column per class; without rows where there is one class."""
    metrics = [metric for metric in analysis.metrics if metric.startswith(PREFIX)]
    rows = []
    for row in analysis.valid if metrics else ():
        of = row.spreads
        texts = [str(of[metric].folds) if metric in of else NOTHING for metric in metrics]
        rows.append([Item(text) for text in (row.title, *texts)])
    note = "DSC, mean ± standard deviation over folds; the table above has the mean over classes."
    return Grid(["arm", *(metric.removeprefix(PREFIX) for metric in metrics)], rows, [note])
