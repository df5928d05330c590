"""Label efficiency as tables: DSC per arm and number of labels, and what each arm adds."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator

from vpbsd_sweeps.reporting.grid import NOTHING, VOID, Grid, Item, markdown
from vpbsd_sweeps.reporting.label_efficiency import (
    Interval,
    LabelEfficiency,
    labelled_groups,
    title,
    training_groups,
)
from vpbsd_sweeps.study.identity import counted_folds, protocol_of


def document(found: LabelEfficiency) -> str:
    """Writes the page as Markdown."""
    return "\n".join(
        f"## {heading}\n\n{markdown(grid)}"
        for heading, grid in (
            ("DSC against labelled groups", score_table(found)),
            (f"Difference to {title(found.baseline)} with the same labels", gain_table(found)),
        )
    )


def score_table(found: LabelEfficiency) -> Grid:
    """Makes a row per arm and a column per number of labelled groups."""
    rows = [
        [Item(title(arm)), *(_cell(found, arm, s, found.score) for s in found.studies)]
        for arm in found.arms
    ]
    return Grid(_header(found), rows, list(_notes(found)))


def gain_table(found: LabelEfficiency) -> Grid:
    """Sets every arm against the baseline with the same labels, and the baseline's own room."""
    rows = [
        [Item(title(arm)), *(_cell(found, arm, s, found.gain) for s in found.studies)]
        for arm in found.arms
        if arm != found.baseline
    ]
    room = [_signed(found.room(study)) for study in found.studies[1:]]
    fewest = _counted(found, 0)
    rows.append([Item(f"room: {title(found.baseline)} less its own at {fewest}"), Item(""), *room])
    note = (
        "Differences in DSC, paired by fold, with the 95 % t-interval over folds; bold: it "
        "excludes 0, before any correction for the number of rows and columns. Training sets of "
        "different folds overlap, so such intervals are somewhat too narrow. Room: "
        "what more labels alone give the baseline."
    )
    return Grid(_header(found), rows, [note])


def labels_csv(found: LabelEfficiency) -> str:
    """Writes one row per arm, number of labels and fold."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["arm", "labelled_groups", "study", "fold", "dsc"])
    counts = {r.study: labelled_groups(r) or training_groups(r) for r in found.records}
    for (arm, study), folds in found.folds.items():
        for fold, dsc in folds.items():
            writer.writerow([arm, counts[study], study, fold, f"{dsc:.6f}"])
    return text.getvalue()


def _header(found: LabelEfficiency) -> list[str]:
    return ["labelled groups", *(_counted(found, i) for i in range(len(found.records)))]


def _counted(found: LabelEfficiency, place: int) -> str:
    records = found.records[place]
    count = labelled_groups(records)
    return f"all ({training_groups(records)})" if count is None else str(count)


def _cell(
    found: LabelEfficiency, arm: str, study: str, of: Callable[[str, str], Interval | None]
) -> Item:
    mark = VOID if (arm, study) in found.left_out else ""
    value = of(arm, study)
    if value is None:
        return Item(NOTHING, mark=mark)
    return Item(str(value)) if of == found.score else _signed(value)


def _signed(value: Interval | None) -> Item:
    if value is None:
        return Item(NOTHING)
    ends = "" if value.n < 2 else f" [{value.low:+.3f}, {value.high:+.3f}]"
    text = f"{value.mean:+.3f}{ends}".replace("-", "−")
    return Item(text, bold=value.excludes_zero)


def _notes(found: LabelEfficiency) -> Iterator[str]:
    identity = found.records[0].identity
    seeds, draw = len(identity["seeds"]), protocol_of(identity).draw
    yield (
        f"Mean [95 % t-interval] over {counted_folds(identity)}, each with its own draw of "
        f"labelled groups (draw {draw}; more hold all of fewer) and the same "
        f"test groups at every number; a fold is the mean over its groups, {seeds} student "
        "seed(s) averaged. The groups that lost their labels are unlabelled volumes."
    )
    yield from (f"Not alike: {line}." for line in found.differing())
    reasons: dict[tuple[str, str], list[str]] = {}
    for (arm, study), why in found.left_out.items():
        reasons.setdefault((arm, why), []).append(study)
    for (arm, why), studies in reasons.items():
        yield f"{VOID} {title(arm)} is left out of {', '.join(studies)}: {why}."
