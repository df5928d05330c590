"""What a study found as CSV at full precision: for whoever computes on."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable

from vpbsd_sweeps.reporting.analysis import StudyAnalysis
from vpbsd_sweeps.reporting.significance import Spread

NOTHING = Spread(math.nan, math.nan, 0)
UNITS = ("folds", "volumes", "groups", "seeds")


def table_csv(analysis: StudyAnalysis) -> str:
    """Writes a line per arm and metric, of all metrics."""
    header = ["arm", "title", "metric", *(f"{k}_{u}" for u in UNITS for k in ("mean", "sd", "n"))]
    header += ["left_out", "unproven", "partial", "differs", "may_have_seen", "runs"]
    lines: list[list[object]] = []
    for row in analysis.rows:
        remarks = [row.void, row.unproven, row.partial, "; ".join(row.differs)]
        remarks.append("yes" if row.may_have_seen else "")
        runs = " ".join(t.run_id for t in row.trials)
        for metric in analysis.metrics if row.spreads else [""]:
            by = row.spreads.get(metric)
            spreads = [getattr(by, unit) if by else NOTHING for unit in UNITS]
            numbers = [n for s in spreads for n in (s.mean, s.sd, s.n)]
            lines.append([row.arm, row.title, metric, *numbers, *remarks, runs])
    return _csv(header, lines)


def comparison_csv(analysis: StudyAnalysis) -> str:
    """Writes a line per comparison."""
    lines = [
        {
            "arm": c.arm,
            "baseline": analysis.baseline,
            "metric": c.metric,
            "family": c.family or "reference",
            "difference": c.test.difference,
            "ci_low": c.test.low,
            "ci_high": c.test.high,
            "groups": c.test.groups,
            "p": c.test.p,
            "p_corrected": c.p,
            "p_sign_flip": c.p_flip,
            "p_wilcoxon": c.p_wilcoxon,
            "p_least": c.p_least,
            "d_z": c.effect,
            "detectable": c.detectable,
            "may_have_seen": "yes" if analysis.row(c.arm).may_have_seen else "",
        }
        for c in analysis.comparisons
    ]
    return _csv(list(lines[0]) if lines else [], (list(line.values()) for line in lines))


def volumes_csv(analysis: StudyAnalysis) -> str:
    """Writes a line per trial, volume and metric: what every other number is made of."""
    header = ["arm", "fold", "seed", "group", "volume", "metric", "value", "run", "status", "void"]
    lines: list[list[object]] = []
    for trial in (t for row in analysis.rows for t in row.trials):
        places = sorted((v, m) for m, by in trial.values.items() for v in by)
        for volume, metric in places or [("", "")]:
            value = trial.values[metric][volume] if metric else math.nan
            place = [*trial.place, trial.groups.get(volume, volume), volume, metric]
            lines.append([*place, value, trial.run_id, trial.status, trial.void])
    return _csv(header, lines)


def _csv(header: list[str], lines: Iterable[list[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *lines])
    return text.getvalue()
