"""The figures of a report, drawn in colours that everyone can tell apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, Formatter, StrMethodFormatter
from scipy.stats import friedmanchisquare

from vpbsd.pipeline.recipes import is_reference
from vpbsd_sweeps.reporting import significance
from vpbsd_sweeps.reporting.analysis import StudyAnalysis
from vpbsd_sweeps.reporting.columns import HIGHER_IS_BETTER, PRIMARY, heading
from vpbsd_sweeps.reporting.drawing import OKABE_ITO, panels, plain_ticks, save
from vpbsd_sweeps.reporting.rows import Row, differences, scores
from vpbsd_sweeps.tuning.ranking import pareto_front

MARKERS = "osD^vPX*<>"
GREY = "#767676"
ENOUGH_GROUPS = 6  # for a critical difference


def draw(analysis: StudyAnalysis, folder: Path) -> dict[str, str]:
    """Writes every figure that the study has data for, as PNG and SVG.

    Returns:
        Name -> caption, in the order of the report.
    """
    made: dict[str, str] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for name, (drawn, caption) in FIGURES.items():
        figure = drawn(analysis)
        if figure is not None:
            save(figure, folder / name)
            made[name] = caption
    return made


def learning_curves(analysis: StudyAnalysis) -> Figure | None:
    """Draws a panel per arm: each loss as its mean over folds, between lowest and highest."""
    curves = {row.arm: _curves(analysis, row.arm) for row in analysis.valid}
    names = sorted({name for of_arm in curves.values() for name in of_arm})
    if not names:
        return None
    colour = {name: OKABE_ITO[i % len(OKABE_ITO)] for i, name in enumerate(names)}
    figure, axes = panels(len(curves), 3, (3.2, 2.2), share=True)
    for at, row in zip(axes, analysis.valid, strict=True):
        for name, (steps, folds) in curves[row.arm].items():
            at.fill_between(steps, folds.min(0), folds.max(0), color=colour[name], alpha=0.2, lw=0)
            at.plot(steps, folds.mean(0), color=colour[name], label=name.removeprefix("loss/"))
        at.set(title=row.title, xlabel="epoch", yscale="log")
        plain_ticks(at.yaxis, StrMethodFormatter("{x:g}"))
    axes[0].set_ylabel("loss")
    handles = [Line2D([], [], color=c, label=n.removeprefix("loss/")) for n, c in colour.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def volumes(analysis: StudyAnalysis) -> Figure | None:
    """Draws DSC of every volume, and beside it each group's difference to the baseline."""
    rows = analysis.valid[::-1]
    if not rows:
        return None
    figure = Figure(figsize=(9.5, 0.42 * len(rows) + 1.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.2, 1])
    for y, row in enumerate(rows):
        own = scores(row.trials, PRIMARY)
        groups = list(significance.group_scores(own).values())
        left.scatter(own.values, [y - 0.22] * len(own.values), s=14, color=OKABE_ITO[5], lw=0)
        left.scatter(groups, [y] * len(groups), s=34, facecolor="none", edgecolor=OKABE_ITO[0])
        left.plot([row.spreads[PRIMARY].groups.mean] * 2, [y - 0.32, y + 0.32], "k", lw=2)
        compared = analysis.comparison(row.arm, PRIMARY)
        if compared:
            gaps = differences(row, analysis.row(analysis.baseline), PRIMARY)
            test = compared.test
            right.scatter(
                gaps, _jitter(y, len(gaps)), s=22, facecolor="none", edgecolor=OKABE_ITO[0]
            )
            if test.groups > 1:
                right.plot([test.low, test.high], [y, y], color=OKABE_ITO[1], lw=2)
            right.plot(test.difference, y, "D", color=OKABE_ITO[1], ms=6)
        elif row.arm == analysis.baseline:
            right.text(0, y, " baseline", va="center", fontsize=8, color=GREY)
    left.set_yticks(range(len(rows)), [row.title for row in rows])
    left.set(xlabel="DSC", title="volumes (dots), groups (rings), mean (bar)")
    right.axvline(0, color=GREY, lw=1)
    right.set(xlabel="difference in DSC", title="groups (rings), mean and 95 % interval")
    for at in (left, right):
        at.title.set_fontsize(9)
        at.grid(axis="x", alpha=0.3)
    return figure


def ranks(analysis: StudyAnalysis) -> Figure | None:
    """Draws a panel per metric: mean rank of each student over groups; references never compete.

    From 6 groups up a zone of Nemenyi's critical difference shows who may be best.
    """
    rows = [row for row in analysis.valid[::-1] if not is_reference(row.arm)]
    if len(rows) < 2:
        return None
    figure, axes = panels(len(analysis.columns), 3, (3.6, 0.3 * len(rows) + 1.3), share=True)
    for at, metric in zip(axes, analysis.columns, strict=True):
        table = _by_group(rows, metric)
        ranked = significance.mean_ranks(table, higher_is_better=metric in HIGHER_IS_BETTER)
        means = ranked.mean(0)
        if len(table) >= ENOUGH_GROUPS:
            reach = significance.critical_difference(len(rows), len(table))
            at.axvspan(means.min(), means.min() + reach, color=OKABE_ITO[4], alpha=0.25, lw=0)
        at.hlines(range(len(rows)), ranked.min(0), ranked.max(0), color=GREY, lw=1)
        at.plot(means, range(len(rows)), "o", color=OKABE_ITO[0])
        at.set(title=heading(metric) + _friedman(ranked), xlim=(0.7, len(rows) + 0.3))
        at.set_xlabel(f"rank over {len(table)} groups, 1 the best")
        at.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(rows)), [row.title for row in rows])
    return figure


def codes(analysis: StudyAnalysis) -> Figure | None:
    """Draws how many codes pre-training uses over its epochs, and what would make it void."""
    stages = analysis.records.of_family("pre-training")
    kinds = {"perplexity/argmin": ("-", "nearest code"), "perplexity/sampled": ("--", "sampled")}
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    at = figure.subplots()
    for i, stage in enumerate(stages):
        for name, (style, label) in kinds.items():
            curve = analysis.records.tracker.curve(stage.run_id, name)
            own = f"{label}, {stage.tags['key'][:6]}" if len(stages) > 1 else label
            if curve:
                colour = OKABE_ITO[i % len(OKABE_ITO)]
                at.plot(list(curve), list(curve.values()), style, color=colour, label=own)
    if not at.lines:
        return None
    for size in sorted({s.params.get("method.network.codebook.size", "") for s in stages} - {""}):
        least = max(2.0, 0.1 * int(size))
        at.axhline(
            least, color=OKABE_ITO[1], lw=1, label=f"void below {least:g} (of {size} codes)"
        )
    at.set(xlabel="epoch of pre-training", ylabel="perplexity of codes")
    at.set_ylim(bottom=0)
    at.legend(fontsize=8, frameon=False)
    at.grid(alpha=0.3)
    return figure


def pareto(analysis: StudyAnalysis) -> Figure | None:
    """Draws DSC against what a network costs to keep and to run, and the front between them."""
    costs = {row.arm: _costs(analysis, row) for row in analysis.valid}
    rows = [row for row in analysis.valid if costs[row.arm]]
    shown = [cost for cost in COSTS if rows and all(cost in costs[row.arm] for row in rows)]
    if not shown:
        return None
    figure = Figure(figsize=(3.4 * len(shown) + 2.2, 3.6), layout="constrained")
    axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for at, cost in zip(axes, shown, strict=True):
        points = [(costs[row.arm][cost], row.mean(PRIMARY)) for row in rows]
        for i, (row, (x, y)) in enumerate(zip(rows, points, strict=True)):
            colour = OKABE_ITO[i % len(OKABE_ITO)]
            marker = MARKERS[i % len(MARKERS)]
            at.plot(x, y, marker, color=colour, ms=8, label=row.title, mfc="none", mew=1.8)
        at.step(*zip(*pareto_front(points), strict=True), where="post", color=GREY, lw=1, zorder=0)
        at.set(xlabel=cost, xscale="log")
        plain_ticks(at.xaxis, COSTS[cost])
        at.grid(alpha=0.3)
    axes[0].set_ylabel("DSC, mean over folds")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8)
    return figure


COSTS: dict[str, Formatter] = {
    "parameters": EngFormatter(sep=" "),
    "GMAC per patch": StrMethodFormatter("{x:g}"),
    "ms per 64^3 voxels": StrMethodFormatter("{x:g}"),
}


def _costs(analysis: StudyAnalysis, row: Row) -> dict[str, float]:
    """Returns those of `COSTS` that were measured of an arm; time only in a comparison."""
    stored = {"parameters": "params_deploy", "GMAC per patch": "gmac_torch"}
    numbers = row.trials[0].numbers
    costs = {name: numbers[key] for name, key in stored.items() if key in numbers}
    timing = analysis.records.timing(row.trials[:1])
    if timing is not None:
        costs["ms per 64^3 voxels"] = timing.numbers["ms_per_block"]
    return costs


FIGURES: dict[str, tuple[Callable[[StudyAnalysis], Figure | None], str]] = {
    "volumes": (
        volumes,
        "Left: test DSC of every volume, of every group, and the mean over groups. Right: what "
        "each arm changes against the baseline, group by group, with the 95 % interval.",
    ),
    "ranks": (
        ranks,
        "Mean rank of each student over groups (dot) between its best and worst rank (line). From "
        "6 groups up the shaded zone holds arms that Nemenyi's test does not tell from the best.",
    ),
    "pareto": (
        pareto,
        "Quality against the size, the work and, where it was timed, the latency of the network "
        "that is delivered; no arm lies above and left of the line.",
    ),
    "learning_curves": (
        learning_curves,
        "Training losses, unweighted: mean over folds, and from the lowest to the highest fold.",
    ),
    "codes": (
        codes,
        "Perplexity of the code words during pre-training: how many of them are in use.",
    ),
}


def _curves(analysis: StudyAnalysis, arm: str) -> dict[str, tuple[list[int], significance.Array]]:
    """Maps each loss to its common steps and (folds, steps), seeds averaged within a fold."""
    tracker, by_name = analysis.records.tracker, dict[str, dict[int, list[dict[int, float]]]]()
    for trial in analysis.records.of_arm(arm):
        for name in sorted(n for n in trial.numbers if n.startswith("loss/")):
            curve = tracker.curve(trial.run_id, name)
            by_name.setdefault(name, {}).setdefault(trial.fold, []).append(curve)
    found = {}
    for name, folds in by_name.items():
        every = [curve for curves in folds.values() for curve in curves]
        steps = sorted(set.intersection(*(set(curve) for curve in every)))
        means = [np.mean([[c[s] for s in steps] for c in of], axis=0) for of in folds.values()]
        found[name] = (steps, np.array(means, np.float64))
    return found


def _by_group(rows: list[Row], metric: str) -> significance.Array:
    """Returns (groups, arms) means over the groups that every arm has."""
    every = [significance.group_scores(scores(row.trials, metric)) for row in rows]
    groups = sorted(set.intersection(*(set(of_arm) for of_arm in every)))
    return np.array([[of_arm[g] for of_arm in every] for g in groups])


def _friedman(ranked: significance.Array) -> str:
    """Says whether arms differ at all, where there are enough of both."""
    if len(ranked) < ENOUGH_GROUPS or ranked.shape[1] < 3 or np.ptp(ranked.mean(0)) == 0:
        return ""
    p = float(friedmanchisquare(*ranked.T).pvalue)
    return f" (Friedman p {p:.3f})" if p >= 0.001 else " (Friedman p < 0.001)"


def _jitter(y: float, n: int) -> significance.Array:
    """Spreads positions around y in a fixed order."""
    return np.asarray(y + 0.18 * (np.arange(n) % 3 - 1), np.float64)
