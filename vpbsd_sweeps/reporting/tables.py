"""Findings as tables for people: one grid, written as Markdown, LaTeX or by the report's page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from vpbsd.pipeline.recipes import REFERENCES
from vpbsd_sweeps.reporting.aggregates import Cell, floor
from vpbsd_sweeps.reporting.analysis import PRIMARY, Comparison, Row, StudyAnalysis
from vpbsd_sweeps.reporting.significance import Spread

VOID, DIFFERS, PARTIAL = "†", "‡", "§"
TEX = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "–": "--",
    "−": "$-$",
    "<": "$<$",
    ">": "$>$",
    VOID: r"$^\dagger$",
    DIFFERS: r"$^\ddagger$",
    PARTIAL: r"$^\S$",
}


@dataclass(frozen=True)
class Link:
    """A run behind a number: what it is, the number it gave, its id."""

    label: str
    value: str
    run_id: str


@dataclass(frozen=True)
class Item:
    """A cell: its text, its place (1 best, 2 second), a mark behind it, the runs it stems from."""

    text: str
    place: int = 0
    mark: str = ""
    links: tuple[Link, ...] = ()


@dataclass(frozen=True)
class Grid:
    """A table: header, rows, and the notes below it."""

    header: list[str]
    rows: list[list[Item]]
    notes: list[str]


def main_table(analysis: StudyAnalysis) -> Grid:
    """A row per arm, a column per metric, and the best single threshold as the floor."""
    columns = analysis.columns
    rows = [
        [Item(row.title, mark=_marks(row)), *(_cell(analysis, row, m) for m in columns)]
        for row in analysis.rows
    ]
    least = floor([t.result for row in analysis.valid for t in row.trials])
    if least.folds:
        told = [str(least) if metric == PRIMARY else "" for metric in columns]
        rows.append([Item(text) for text in ("best single threshold (knows the label)", *told)])
    return Grid(["arm", *columns.values()], rows, list(_notes(analysis)))


def spread_table(analysis: StudyAnalysis) -> Grid:
    """DSC of each arm by four units: they answer different questions and are never pooled."""
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
    """Every arm against the baseline in every metric of the table."""
    header = ["arm", "metric", "difference", "95 % interval", "groups", "least p"]
    header += ["sign-flip p (Holm)", "Wilcoxon p (Holm)", "d_z", "detectable"]
    rows = [_compared(analysis, c) for c in analysis.comparisons]
    return Grid(header, rows, list(_comparison_notes(analysis)))


def markdown(grid: Grid) -> str:
    """As GitHub shows it; notes as paragraphs below."""
    lines = [_piped(grid.header), "|" + "---|" * len(grid.header)]
    lines += [_piped([_markdown(item) for item in row]) for row in grid.rows]
    return "\n".join([*lines, "", *(note.replace("*", r"\*") + "\n" for note in grid.notes)])


def latex(grid: Grid, caption: str, label: str) -> str:
    r"""A table for ``\input``; needs booktabs and graphicx. Notes stand below as small print.

    One that is wider than the text is shrunk to it.
    """
    rows = [" & ".join(_latex(item) for item in row) + r" \\" for row in grid.rows]
    notes = [rf"\par {escaped(note)}" for note in grid.notes]
    return "\n".join(
        [
            r"% needs \usepackage{booktabs,graphicx}",
            r"\begin{table}",
            r"\centering\small\setlength{\tabcolsep}{4pt}",
            rf"\caption{{{escaped(caption)}}}\label{{tab:{label}}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * (len(grid.header) - 1)}}}",
            r"\toprule",
            " & ".join(escaped(title) for title in grid.header) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\begin{flushleft}\footnotesize",
            *notes,
            r"\end{flushleft}",
            r"\end{table}",
            "",
        ]
    )


def escaped(text: str) -> str:
    """For LaTeX."""
    return "".join(TEX.get(c, c) for c in text)


def links(row: Row, metric: str) -> tuple[Link, ...]:
    """The runs behind an arm's number, with what each gave."""
    return tuple(
        Link(
            f"fold {t.result.fold}, seed {t.result.seed}",
            f"{t.result.score(metric):.3f}"
            if metric in t.result.values
            else t.result.status.lower(),
            t.result.run_id,
        )
        for t in row.trials
    )


def _cell(analysis: StudyAnalysis, row: Row, metric: str) -> Item:
    if metric not in row.spreads:
        return Item("–", links=links(row, metric))
    compared = analysis.comparison(row.arm, metric)
    by = row.spreads[metric].folds
    mark = compared.mark if compared else ""
    shown = str(Cell(by.mean, by.sd, by.n))
    return Item(shown, analysis.place(row.arm, metric), mark, links(row, metric))


def _marks(row: Row) -> str:
    return (
        (VOID if row.void else "")
        + (DIFFERS if row.differs else "")
        + (PARTIAL if row.partial else "")
    )


def _notes(analysis: StudyAnalysis) -> Iterator[str]:
    records, settings = analysis.records, analysis.records.facts["settings"]
    how = "groups" if settings["protocol"]["split"] == "group" else "regions in space"
    groups = {g for row in analysis.valid for t in row.trials for g in t.groups.values()}
    yield (
        f"Mean ± standard deviation over {settings['protocol']['folds']} folds of {how}, "
        f"{len(groups)} groups in all; {len(records.facts['seeds'])} student seed(s), averaged "
        "within a fold; one teacher seed."
    )
    references = [row.title for row in analysis.rows if row.arm in REFERENCES]
    apart = f" {' and '.join(references)} set apart as reference." if references else ""
    yield f"Bold: best mean of the students; underlined: second.{apart}"
    yield _meaning(analysis)
    for row in analysis.rows:
        if row.void:
            yield f"{VOID} {row.title}: left out of all averages; {row.void}."
        if row.differs:
            yield f"{DIFFERS} {row.title} differs from the baseline in {'; '.join(row.differs)}."
        if row.partial:
            yield f"{PARTIAL} {row.title}: {row.partial}; its numbers will change."


def _meaning(analysis: StudyAnalysis) -> str:
    """Of the marks; and whether one could appear at all."""
    title, count = analysis.row(analysis.baseline).title, len(analysis.comparisons)
    if not count:
        return f"Nothing was compared: {title}, the baseline, is void or the only arm that counts."
    fewest = min(c.paired.groups for c in analysis.comparisons)
    least = min(c.paired.p_least for c in analysis.comparisons)
    possible = min(1.0, least * count)
    verdict = "" if possible < 0.05 else ", so that no mark can appear"
    return (
        f"* p < 0.05, ** p < 0.01 against {title}: exact sign-flip test over {fewest} groups, "
        f"Holm-corrected over the {count} comparisons of the table. No p below {_p(least)} is "
        f"possible with so few, {_p(possible)} once corrected{verdict}."
    )


def _comparison_notes(analysis: StudyAnalysis) -> Iterator[str]:
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
    texts = [f"[{_signed(p.low)}, {_signed(p.high)}]", str(p.groups), _p(p.p_least)]
    texts += [f"{_p(p.p_flip)} ({_p(c.p_flip_holm)})"]
    texts += [f"{_p(p.p_wilcoxon)} ({_p(c.p_wilcoxon_holm)})"]
    texts += [_number(p.effect, 2), _number(p.detectable, 4)]
    head = [Item(analysis.row(c.arm).title), Item(analysis.columns[c.metric])]
    return [*head, Item(_signed(p.difference), mark=c.mark, links=runs), *map(Item, texts)]


def _spread(row: Row, s: Spread) -> Item:
    return Item(f"{Cell(s.mean, s.sd, s.n)} ({s.n})", links=links(row, PRIMARY))


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")


def _number(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}".replace("-", "−")


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _piped(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _markdown(item: Item) -> str:
    text = {1: f"**{item.text}**", 2: f"<u>{item.text}</u>"}.get(item.place, item.text)
    mark = item.mark.replace("*", r"\*")
    return f"{text} {mark}".rstrip() if mark else text


def _latex(item: Item) -> str:
    text = escaped(item.text)
    shown = {1: rf"\textbf{{{text}}}", 2: rf"\underline{{{text}}}"}.get(item.place, text)
    stars = (
        item.mark.replace("**", r"$^{**}$")
        if "**" in item.mark
        else item.mark.replace("*", r"$^{*}$")
    )
    return shown + (stars if "*" in item.mark else escaped(item.mark))
