"""Whether each fold's teacher was worth listening to, where that was measured."""

from __future__ import annotations

from vpbsd.pipeline.trust import LEAD
from vpbsd_sweeps.reporting.grid import Grid, Item, Link
from vpbsd_sweeps.reporting.records import StudyRecords


def teacher_table(records: StudyRecords) -> Grid:
    """Makes a row per fold and measured teacher: its lead over a Light UNet, and what followed."""
    found: dict[tuple[int, float], list[Link]] = {}
    for t in records.trials:
        if LEAD in t.numbers:
            link = Link(t.name, f"{t.score('dsc'):.3f}" if "dsc" in t.values else "", t.run_id)
            found.setdefault((t.fold, t.numbers[LEAD]), []).append(link)
    rows = [
        [Item(str(fold)), Item(f"{lead:+.3f}", links=tuple(links)), Item(_followed(lead))]
        for (fold, lead), links in sorted(found.items())
    ]
    note = (
        "DSC of the teacher less that of a Light UNet, both without the labels of one training "
        "group, on that group: one measurement per fold, so differences under .03 are hints."
    )
    return Grid(["fold", "teacher - Light UNet", "L_semi"], rows, [note])


def _followed(lead: float) -> str:
    return "on" if lead >= 0 else "off"
