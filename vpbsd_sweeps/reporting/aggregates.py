"""MLflow runs -> the table people publish; arms with void trials shown, never averaged."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import mean, stdev

from vpbsd.pipeline.arms import GROUPS, HEADINGS, TITLES
from vpbsd_sweeps.reporting.records import Sizes, TrialResult
from vpbsd_sweeps.tracking.tracker import Tracker

COLUMNS = {
    "dsc": "DSC",
    "accuracy": "Acc",
    "hd95_vox": "HD95 [vox]",
    "jaccard": "Jaccard",
    "smd": "SMD",
    "cldice": "clDice",
}
HIGHER_IS_BETTER = {"dsc", "accuracy", "jaccard", "cldice"}
FLOOR = "threshold_dsc"


@dataclass(frozen=True)
class Cell:
    """Mean over folds, spread over folds (ddof 1; NaN for one fold), number of folds."""

    mean: float
    spread: float
    folds: int

    def __str__(self) -> str:
        if not self.folds:
            return "-"
        return (
            f"{self.mean:.3f}"
            if math.isnan(self.spread)
            else f"{self.mean:.3f} ± {self.spread:.3f}"
        )


def cell(trials: Sequence[TrialResult], metric: str) -> Cell:
    """Of an arm; empty where it is left out.

    Seeds are averaged within a fold first, then folds: seeds are no independent samples.
    """
    if left_out(trials):
        return Cell(math.nan, math.nan, 0)
    folds: dict[int, list[float]] = {}
    for trial in trials:
        folds.setdefault(trial.fold, []).append(trial.score(metric))
    per_fold = [mean(values) for values in folds.values()]
    return Cell(mean(per_fold), stdev(per_fold) if len(per_fold) > 1 else math.nan, len(per_fold))


def ablation_rows(
    trials: list[TrialResult], arms: Iterable[str]
) -> list[tuple[str, dict[str, Cell], str]]:
    """(title, cell per column, remark) for each arm that was asked for."""
    rows = []
    for arm in arms:
        own = [t for t in trials if t.arm == arm]
        cells = {metric: cell(own, metric) for metric in COLUMNS}
        rows.append((TITLES.get(arm, arm), cells, remark(own)))
    return rows


def left_out(trials: Sequence[TrialResult]) -> str:
    """Why an arm is left out of averages, ranks and marks, and by which folds; "" if it is not.

    One void or failed trial is enough: the mean of the folds that happened to work is another
    quantity than that of its neighbours in the table, and flatters.
    """
    if not trials:
        return "no trial has ended"
    lost = [t for t in trials if not t.counts]
    return _by_reason((f"VOID: {t.void}" if t.void else t.status.lower(), t) for t in lost)


def remark(trials: Sequence[TrialResult]) -> str:
    """Why an arm is left out, and what is to be known of its trials that count."""
    known = _by_reason((t.note, t) for t in trials if t.counts and t.note)
    return "; ".join(filter(None, (left_out(trials), known)))


def _by_reason(told: Iterable[tuple[str, TrialResult]]) -> str:
    names: dict[str, list[str]] = {}
    for reason, trial in told:
        names.setdefault(reason, []).append(trial.name)
    return "; ".join(f"{reason} ({', '.join(trials)})" for reason, trials in names.items())


def floor(trials: list[TrialResult]) -> Cell:
    """The best single threshold's Dice on the same test volumes, averaged the same way."""
    seen = {t.fold: replace(t, void="", status="FINISHED") for t in trials if FLOOR in t.values}
    return cell(list(seen.values()), FLOOR)


def markdown(trials: list[TrialResult], arms: Iterable[str], caption: str) -> str:
    """The table as Markdown: best mean bold, remarks below."""
    rows = ablation_rows(trials, arms)
    best = {metric: _best(metric, [cells[metric] for _, cells, _ in rows]) for metric in COLUMNS}
    lines = [
        "| arm | " + " | ".join(COLUMNS.values()) + " |",
        "|---|" + "---|" * len(COLUMNS),
    ]
    for title, cells, note in rows:
        shown = [
            f"**{cells[m]}**" if cells[m].folds and cells[m].mean == best[m] else str(cells[m])
            for m in COLUMNS
        ]
        mark = " †" if note else ""
        lines.append(f"| {title}{mark} | " + " | ".join(shown) + " |")
    lines.append(f"| best single threshold (knows the label) | {floor(trials)} |" + " |" * 5)
    notes = [f"† {title}: {note}" for title, _, note in rows if note]
    return "\n".join([*lines, "", caption, *notes, ""])


def sections(arms: Iterable[str]) -> list[tuple[str, list[str]]]:
    """(heading, arms in its order): the tables that show all of these arms, fullest first."""
    left, told = list(arms), list(arms)
    found = []
    while left:
        name = max(GROUPS, key=lambda group: sum(arm in left for arm in GROUPS[group]))
        rows = [arm for arm in GROUPS[name] if arm in told]
        found.append((HEADINGS[name], rows))
        left = [arm for arm in left if arm not in rows]
    return found


def document(trials: list[TrialResult], arms: Iterable[str], told: str, sizes: Sizes) -> str:
    """All tables of a study as Markdown; that of sizes and times where they were measured."""
    texts = [f"## {heading}\n\n{markdown(trials, rows, told)}" for heading, rows in sections(arms)]
    return "\n".join([*texts, *([cost_table(trials, arms, sizes)] if sizes else [])])


def cost_table(trials: list[TrialResult], arms: Iterable[str], sizes: Sizes) -> str:
    """The paper's Table 2: parameters deployed, multiply-accumulates, time per 64^3 voxels."""
    lines = [
        "## Size and time (the paper's Table 2)\n",
        "| arm | DSC | parameters [M] | GMAC per patch | ms per 64^3 |",
        "|---|---|---|---|---|",
    ]
    devices = set()
    for arm in arms:
        own = [t for t in trials if t.arm == arm]
        size = next((sizes[t.timing] for t in own if t.timing in sizes), None)
        if size is not None:
            devices.add(size.device)
            lines.append(
                f"| {TITLES[arm]} | {cell(own, 'dsc')} | {size.parameters / 1e6:.3f} "
                f"| {size.gmac:.3f} | {size.ms:.1f} ± {size.ms_sd:.1f} |"
            )
    on = ", ".join(sorted(devices))
    note = (
        f"Mean ± sd over 100 blocks, batch of one, on {on}; multiply-accumulates are half of what "
        "torch's FlopCounterMode counts."
    )
    return "\n".join([*lines, "", note, ""])


def caption(trials: list[TrialResult], protocol: str) -> str:
    """What the numbers are."""
    folds = len({t.fold for t in trials})
    seeds = len({t.seed for t in trials})
    return (
        f"Mean ± standard deviation over {folds} folds ({protocol}); {seeds} student seed(s) "
        "averaged within a fold, one teacher seed. Arms with a void or failed trial are left out."
    )


def _best(metric: str, cells: list[Cell]) -> float:
    means = [c.mean for c in cells if c.folds]
    if not means:
        return math.nan
    return max(means) if metric in HIGHER_IS_BETTER else min(means)


def parent_tags(tracker: Tracker) -> dict[str, str]:
    """The sweep's own tags."""
    run = next(tracker.runs("tags.`vpbsd.kind` = 'sweep'"))
    return dict(run.data.tags)


def groups(tracker: Tracker) -> dict[str, str]:
    """Volume -> group of the labelled volumes of a study."""
    told: dict[str, str] = json.loads(parent_tags(tracker)["vpbsd.groups"])
    return told
