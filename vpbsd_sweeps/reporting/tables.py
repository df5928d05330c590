"""What a study found, as tables: the ones that a sweep prints are the ones of its report."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from vpbsd.pipeline.arms import EXTERNAL, GROUPS, HEADINGS
from vpbsd.pipeline.crossings import ON
from vpbsd.pipeline.recipes import is_reference
from vpbsd_sweeps.reporting.analysis import (
    COLUMNS,
    PRIMARY,
    Comparison,
    Row,
    StudyAnalysis,
    threshold_floor,
)
from vpbsd_sweeps.reporting.class_table import class_table
from vpbsd_sweeps.reporting.code_table import code_table
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
from vpbsd_sweeps.reporting.pretraining_table import pretraining_table
from vpbsd_sweeps.reporting.significance import ALPHA, Spread
from vpbsd_sweeps.reporting.teacher_table import teacher_table
from vpbsd_sweeps.reporting.threshold import against_threshold
from vpbsd_sweeps.reporting.verdict import verdict


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
    left, found = [arm for arm in own if ON not in arm], list[tuple[str, list[str]]]()
    crossed = [arm for arm in own if ON in arm]
    while left:
        name = max(GROUPS, key=lambda group: sum(arm in left for arm in GROUPS[group]))
        rows = [arm for arm in GROUPS[name] if arm in arms]
        found.append((HEADINGS[name], rows + others))
        left = [arm for arm in left if arm not in rows]
    if others and not found:
        found = [("Masks of other tools", others)]
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
    return Grid(["arm", *columns.values()], items, list(_notes(analysis, rows)))


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
    header = ["arm", "metric", "difference", "95 % interval", "groups", "least p"]
    header += ["sign-flip p (Holm)", "Wilcoxon p (Holm)", "d_z", "detectable"]
    rows = [_compared(analysis, c) for c in analysis.comparisons]
    return Grid(header, rows, list(_comparison_notes(analysis)))


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
    marks = {VOID: row.void, DIFFERS: row.differs, PARTIAL: row.partial}
    marks |= {UNPROVEN: row.unproven, NOTED: row.note, SEEN: row.may_have_seen}
    return "".join(mark for mark, why in marks.items() if why)


def _notes(analysis: StudyAnalysis, rows: Sequence[Row]) -> Iterator[str]:
    identity = analysis.records.identity
    protocol = identity["settings"]["protocol"]
    how = "groups" if protocol["split"] == "group" else "regions in space"
    groups = {g for row in analysis.valid for t in row.trials for g in t.groups.values()}
    yield (
        f"Mean ± standard deviation over {protocol['folds']} folds of {how}, "
        f"{len(groups)} groups in all; {len(identity['seeds'])} student seed(s), averaged "
        "within a fold; one teacher seed."
    )
    if protocol.get("train_groups") is not None:
        yield (
            f"{protocol['train_groups']} training group(s) per fold kept their labels (draw "
            f"{protocol.get('draw', 0)}); the volumes of the others were unlabelled."
        )
    yield _rule_for_bold(analysis, rows)
    yield _rule_for_marks(analysis)
    yield from against_threshold(analysis)
    for row in rows:
        if row.void:
            yield f"{VOID} {row.title}: left out of all averages; {row.void}."
        if row.differs:
            yield f"{DIFFERS} {row.title} differs from the baseline in {'; '.join(row.differs)}."
        if row.partial:
            yield f"{PARTIAL} {row.title}: {row.partial}; its numbers will change."
        if row.unproven:
            yield (
                f"{UNPROVEN} {row.title}: unproven, so never bold nor the best: {row.unproven}; "
                "L_dis claims nothing."
            )
        if row.note:
            yield f"{NOTED} {row.title}: {row.note}."
    yield from _seen(rows)


def _seen(rows: Sequence[Row]) -> Iterator[str]:
    """Says which masks of other tools may come from one that knows the test volumes."""
    titles = [row.title for row in rows if row.may_have_seen]
    if titles:
        yield (
            f"{SEEN} {', '.join(titles)}: may have been trained on these test volumes; no network "
            "of this study was."
        )


def _rule_for_bold(analysis: StudyAnalysis, rows: Sequence[Row]) -> str:
    references = [row.title for row in rows if is_reference(row.arm)]
    apart = f"; {' and '.join(references)} set apart as reference" if references else ""
    return (
        f"Bold: best mean of the students, where p < {ALPHA} (as below) says that it beats "
        f"{analysis.row(analysis.baseline).title}; none where it is within noise{apart}."
    )


def _rule_for_marks(analysis: StudyAnalysis) -> str:
    """Says what the stars mean, and whether one could appear at all."""
    title, count = analysis.row(analysis.baseline).title, len(analysis.comparisons)
    if not count:
        return f"Nothing was compared: {title}, the baseline, is void or the only arm that counts."
    fewest = min(c.paired.groups for c in analysis.comparisons)
    least = min(c.paired.p_least for c in analysis.comparisons)
    possible = min(1.0, least * count)
    hopeless = "" if possible < ALPHA else ", so that no mark can appear"
    return (
        f"* p < 0.05, ** p < 0.01 against {title}: exact sign-flip test over {fewest} groups, "
        f"Holm-corrected over the {count} comparisons of the study. No p below "
        f"{p_value(least)} is possible with so few, {p_value(possible)} once corrected{hopeless}."
    )


def _comparison_notes(analysis: StudyAnalysis) -> Iterator[str]:
    yield from _seen(analysis.valid)
    yield (
        f"Arm less {analysis.row(analysis.baseline).title}, paired by volume and seed; the "
        "independent unit is the group (seeds averaged within volumes, volumes within groups)."
    )
    yield (
        "Interval: 95 %, hierarchical bootstrap (groups, then volumes, then seeds; 10 000 draws); "
        "with few groups such intervals are too narrow. p: exact and two-sided over groups, each "
        f"also Holm-corrected over all {len(analysis.comparisons)} rows; least p: the smallest "
        "that so many groups can give."
    )
    yield (
        "d_z: mean of the groups' differences over their standard deviation. Detectable: the true "
        "difference that a paired t-test at 5 % would show with 80 % power, given so many groups "
        "and the spread seen; uncorrected, so the least that can be hoped for."
    )


def _compared(analysis: StudyAnalysis, c: Comparison) -> list[Item]:
    p = c.paired
    pair = (analysis.row(c.arm), analysis.row(analysis.baseline))
    runs = tuple(
        replace(link, label=f"{row.title}, {link.label}")
        for row in pair
        for link in links(row, c.metric)
    )
    texts = [f"[{signed(p.low)}, {signed(p.high)}]", str(p.groups), p_value(p.p_least)]
    texts += [f"{p_value(p.p_flip)} ({p_value(c.p_flip_holm)})"]
    texts += [f"{p_value(p.p_wilcoxon)} ({p_value(c.p_wilcoxon_holm)})"]
    texts += [_number(p.effect, 2), _number(p.detectable, 4)]
    seen = SEEN if analysis.row(c.arm).may_have_seen else ""
    head = [Item(analysis.row(c.arm).title, mark=seen), Item(analysis.columns[c.metric])]
    return [*head, Item(signed(p.difference), mark=c.mark, links=runs), *map(Item, texts)]


def _spread(row: Row, spread: Spread) -> Item:
    return Item(f"{spread} ({spread.n})", links=links(row, PRIMARY))


def _number(value: float, digits: int) -> str:
    return NOTHING if math.isnan(value) else f"{value:.{digits}f}".replace("-", "−")
