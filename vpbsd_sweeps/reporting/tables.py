"""What a study found, as tables: the ones that a sweep prints are the ones of its report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from vpbsd.pipeline.arms import EXTERNAL, GROUPS, HEADINGS
from vpbsd.pipeline.crossings import ON
from vpbsd_sweeps.reporting.analysis import StudyAnalysis
from vpbsd_sweeps.reporting.class_table import class_table
from vpbsd_sweeps.reporting.code_table import code_table
from vpbsd_sweeps.reporting.columns import COLUMNS, PRIMARY, heading
from vpbsd_sweeps.reporting.comparisons import Comparison
from vpbsd_sweeps.reporting.grid import (
    DIFFERS,
    NOTED,
    NOTHING,
    PARTIAL,
    SEEN,
    UNPROVEN,
    VOID,
    Grid,
    Item,
    Link,
    markdown,
    p_value,
    signed,
)
from vpbsd_sweeps.reporting.notes import comparison_notes, main_notes
from vpbsd_sweeps.reporting.pretraining_table import pretraining_table
from vpbsd_sweeps.reporting.rows import Row, threshold_floor
from vpbsd_sweeps.reporting.significance import Spread
from vpbsd_sweeps.reporting.teacher_table import teacher_table
from vpbsd_sweeps.reporting.verdict import verdict
from vpbsd_sweeps.study.identity import counted_folds


def document(analysis: StudyAnalysis) -> str:
    """Writes all tables of a study as Markdown, those that it has data for, and its verdict."""
    titled = [
        (heading, main_table(analysis, arms)) for heading, arms in sections(analysis.records.arms)
    ]
    others = {
        "Each class": class_table(analysis),
        "What the code words carry": code_table(analysis.records),
        "Pre-training by student": pretraining_table(analysis),
        "Teacher against student": teacher_table(analysis.records),
        "Size and time (the paper's Table 2)": cost_table(analysis),
    }
    titled += [(heading, grid) for heading, grid in others.items() if grid.rows]
    found = [f"## {heading}\n\n{markdown(grid)}" for heading, grid in titled]
    return "\n".join([*found, f"## Verdict\n\n{verdict(analysis).sentence}"])


def sections(arms: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Picks the tables that show all of these arms, fullest first: heading, arms in its order.

    Masks of other tools stand below each of them.

    >>> sections(["vpbsd", "kd"])
    [("Comparison (the paper's Table 1)", ['kd', 'vpbsd'])]
    """
    others = [arm for arm in arms if arm.startswith(EXTERNAL)]
    own = [arm for arm in arms if arm not in others]
    crossed = [arm for arm in own if ON in arm]
    left = [arm for arm in own if any(arm in rows for rows in GROUPS.values())]
    alone = [arm for arm in own if arm not in (*left, *crossed)]
    found: list[tuple[str, list[str]]] = []
    while left:
        name = max(GROUPS, key=lambda group: sum(arm in left for arm in GROUPS[group]))
        rows = [arm for arm in GROUPS[name] if arm in arms]
        found.append((HEADINGS[name], rows + others))
        left = [arm for arm in left if arm not in rows]
    if alone or (others and not found):
        found.append(("Arms of no table", alone + others))
    return [*found, ("On teachers pre-trained otherwise", crossed)] if crossed else found


def main_table(analysis: StudyAnalysis, arms: Sequence[str] | None = None) -> Grid:
    """Makes a row per arm, a column per metric, and the best single threshold as the floor.

    Args:
        analysis: What was found.
        arms: Rows, in their order; all by default.
    """
    rows = [analysis.row(arm) for arm in arms] if arms else analysis.rows
    columns = analysis.columns or COLUMNS
    best = {metric: analysis.best(metric, [row.arm for row in rows]) for metric in columns}
    items = [
        [
            Item(row.title, mark=_marks(row)),
            *(_cell(analysis, row, metric, bold=row.arm in best[metric]) for metric in columns),
        ]
        for row in rows
    ]
    floor = threshold_floor(analysis.records.trials)
    if floor is not None:
        texts = [str(floor) if metric == PRIMARY else "" for metric in columns]
        items.append([Item(text) for text in ("best single threshold (knows the label)", *texts)])
    return Grid(["arm", *map(heading, columns)], items, list(main_notes(analysis, rows)))


def caption(analysis: StudyAnalysis) -> str:
    """Writes what a paper says above the main table."""
    groups = {g for row in analysis.valid for t in row.trials for g in t.groups.values()}
    volumes = {v for row in analysis.valid for t in row.trials for v in t.groups}
    folds = counted_folds(analysis.records.identity)
    return (
        f"Segmentation of {len(volumes)} test volumes of {len(groups)} groups in {folds}: "
        f"{', '.join(analysis.columns.values())} of {len(analysis.rows)} methods (study "
        f"{analysis.records.study})."
    )


def cost_table(analysis: StudyAnalysis) -> Grid:
    """Makes the paper's Table 2: parameters deployed, multiply-accumulates, ms per 64^3 voxels.

    An arm whose network was not timed has no row.
    """
    rows, devices = [], set()
    for row in analysis.rows:
        timing = analysis.records.timing(row.trials)
        if timing is not None:
            n = timing.numbers
            devices.add(f"{timing.tags['device']}, {n['sys/threads']:.0f} threads")
            dsc = str(row.spreads[PRIMARY].folds) if PRIMARY in row.spreads else NOTHING
            texts = [row.title, dsc, f"{n['params_deploy'] / 1e6:.3f}", f"{n['gmac_torch']:.3f}"]
            texts.append(f"{n['ms_per_block']:.1f} ± {n['ms_sd']:.1f}")
            rows.append([Item(text) for text in texts])
    note = (
        f"Mean ± sd over 100 blocks, batch of one, on {', '.join(sorted(devices))}; "
        "multiply-accumulates are half of what torch's FlopCounterMode counts."
    )
    header = ["arm", "DSC", "parameters [M]", "GMAC per patch", "ms per 64^3"]
    return Grid(header, rows, [note])


def spread_table(analysis: StudyAnalysis) -> Grid:
    """Makes a table of each arm's DSC by four units, which answer different questions."""
    rows = []
    for row in analysis.valid:
        by = row.spreads[PRIMARY]
        units = (by.folds, by.volumes, by.groups, by.seeds)
        rows.append([Item(row.title, mark=_marks(row)), *(_spread(row, u) for u in units)])
    note = (
        "Mean ± standard deviation (n). A volume is its mean over seeds, a group that of its "
        "volumes, a fold the mean over seeds of the mean over volumes, a seed the mean over folds."
    )
    return Grid(["DSC", "over folds", "over volumes", "over groups", "over seeds"], rows, [note])


def comparison_table(analysis: StudyAnalysis) -> Grid:
    """Sets every arm against the baseline in every metric of the table."""
    header = ["arm", "metric", "difference", "95 % interval", "groups", "p", "corrected"]
    header += ["sign-flip p", "Wilcoxon p", "d_z", "detectable"]
    rows = [_compared(analysis, c) for c in analysis.comparisons]
    return Grid(header, rows, list(comparison_notes(analysis)))


def links(row: Row, metric: str) -> tuple[Link, ...]:
    """Lists the runs behind an arm's number, with what each gave."""
    return tuple(
        Link(
            f"fold {t.fold}, seed {t.seed}",
            f"{t.score(metric):.3f}" if metric in t.values else t.status.lower(),
            t.run_id,
        )
        for t in row.trials
    )


def _cell(analysis: StudyAnalysis, row: Row, metric: str, *, bold: bool) -> Item:
    if metric not in row.spreads:
        return Item(NOTHING, links=links(row, metric))
    compared = analysis.comparison(row.arm, metric)
    mark = compared.mark if compared else ""
    return Item(str(row.spreads[metric].folds), bold, mark, links(row, metric))


def _marks(row: Row) -> str:
    marks: dict[str, object] = {VOID: row.void, DIFFERS: row.differs, PARTIAL: row.partial}
    marks |= {UNPROVEN: row.unproven, NOTED: row.note, SEEN: row.may_have_seen}
    return "".join(mark for mark, why in marks.items() if why)


def _compared(analysis: StudyAnalysis, c: Comparison) -> list[Item]:
    pair = (analysis.row(c.arm), analysis.row(analysis.baseline))
    runs = tuple(
        replace(link, label=f"{row.title}, {link.label}")
        for row in pair
        for link in links(row, c.metric)
    )
    corrected = NOTHING if math.isnan(c.p) else p_value(c.p)
    texts = [f"[{signed(c.test.low)}, {signed(c.test.high)}]" if c.test.groups > 1 else NOTHING]
    texts += [str(c.test.groups), p_value(c.test.p), corrected]
    texts += [p_value(c.p_flip), p_value(c.p_wilcoxon)]
    texts += [_number(c.effect, 2), _number(c.detectable, 4)]
    seen = SEEN if analysis.row(c.arm).may_have_seen else ""
    head = [Item(analysis.row(c.arm).title, mark=seen), Item(heading(c.metric))]
    return [*head, Item(signed(c.test.difference), mark=c.mark, links=runs), *map(Item, texts)]


def _spread(row: Row, spread: Spread) -> Item:
    return Item(f"{spread} ({spread.n})", links=links(row, PRIMARY))


def _number(value: float, digits: int) -> str:
    return NOTHING if math.isnan(value) else f"{value:.{digits}f}".replace("-", "−")
