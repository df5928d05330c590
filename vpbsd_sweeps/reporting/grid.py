"""A table as a grid of items, and the two ways to write it as text: Markdown and LaTeX.

The report's page writes the same grid as HTML.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

VOID, DIFFERS, PARTIAL, UNPROVEN, NOTED, SEEN = "†", "‡", "§", "‖", "¶", "°"
NOTHING = "–"
TEX = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "–": "--",
    "−": "$-$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "|": "$|$",
    "<": "$<$",
    ">": "$>$",
    VOID: r"$^\dagger$",
    DIFFERS: r"$^\ddagger$",
    PARTIAL: r"$^\S$",
    UNPROVEN: r"$^\|$",
    NOTED: r"$^\P$",
    SEEN: r"$^\circ$",
}


@dataclass(frozen=True)
class Link:
    """A run behind a number: what it is, the number it gave, its id."""

    label: str
    value: str
    run_id: str


@dataclass(frozen=True)
class Item:
    """A cell: its text, whether it is bold, a mark behind it, the runs it stems from."""

    text: str
    bold: bool = False
    mark: str = ""
    links: tuple[Link, ...] = ()


@dataclass(frozen=True)
class Grid:
    """A table: header, rows, and the notes below it."""

    header: Sequence[str]
    rows: Sequence[Sequence[Item]]
    notes: Sequence[str] = field(default_factory=list)


def markdown(grid: Grid) -> str:
    r"""Writes a table as GitHub shows it, its notes as paragraphs below.

    >>> print(markdown(Grid(["arm", "DSC"], [[Item("kd"), Item("0.8", bold=True, mark="*")]])))
    | arm | DSC |
    |---|---|
    | kd | **0.8** \* |
    <BLANKLINE>
    """
    lines = [_piped(grid.header), "|" + "---|" * len(grid.header)]
    lines += [_piped([_markdown(item) for item in row]) for row in grid.rows]
    return "\n".join([*lines, "", *(note.replace("*", r"\*") + "\n" for note in grid.notes)])


def latex(grid: Grid, caption: str, label: str) -> str:
    r"""Writes a table for ``\input``; needs booktabs and graphicx. Notes stand below, small.

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
    r"""Writes a text so that LaTeX shows it as it is, names of losses as papers set them.

    >>> escaped("a_b < 5 %"), escaped("w/o L_dis")
    ('a\\_b $<$ 5 \\%', 'w/o $\\mathcal{L}_\\mathrm{dis}$')
    """
    named = re.sub(r"\bL_(\w+)", "\x00\\1\x01", text)
    plain = "".join(TEX.get(c, c) for c in named)
    return plain.replace("\x00", r"$\mathcal{L}_\mathrm{").replace("\x01", "}$")


def signed(value: float) -> str:
    """Writes a difference with its sign.

    >>> signed(-0.01234)
    '−0.0123'
    """
    return f"{value:+.4f}".replace("-", "−")


def p_value(p: float) -> str:
    """Writes a p-value to three digits.

    >>> p_value(0.0004)
    '<0.001'
    """
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _piped(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _markdown(item: Item) -> str:
    text = f"**{item.text}**" if item.bold else item.text
    mark = item.mark.replace("*", r"\*")
    return f"{text} {mark}".rstrip() if mark else text


def _latex(item: Item) -> str:
    text = escaped(item.text)
    shown = rf"\textbf{{{text}}}" if item.bold else text
    if "*" in item.mark:
        stars = "**" if "**" in item.mark else "*"
        return shown + item.mark.replace(stars, f"$^{{{stars}}}$")
    return shown + escaped(item.mark)
