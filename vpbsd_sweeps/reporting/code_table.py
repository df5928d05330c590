"""What was found of the code words that students learned, a row per teacher."""

from __future__ import annotations

from collections.abc import Iterable

from vpbsd.evaluation.code_statistics import SAME_MASK
from vpbsd.pipeline.crossings import arm_title
from vpbsd_sweeps.reporting.grid import NOTHING, UNPROVEN, Grid, Item, Link
from vpbsd_sweeps.reporting.records import StageRun, StudyRecords

COLUMNS = {
    "swapped_dice": ("Dice, swapped codes", 3),
    "r2_vessel_share": ("R² vessel share", 2),
    "r2_brightness": ("R² brightness", 2),
    "mse_codes": ("MSE, codes", 4),
    "mse_cell_mean": ("MSE, cell means", 4),
    "training_dsc": ("DSC on training labels", 3),
}
"""Number of an examination -> title and digits."""
NAMED = 3


def code_table(records: StudyRecords) -> Grid:
    """Makes a row per examined teacher: whose students learn its codes, in which folds, numbers.

    A verdict leads to the stage's run, where the pictures are.
    """
    stages = [s for s in records.of_family("examination") if "training_dsc" in s.numbers]
    placed = sorted(((_folds(records, stage), stage) for stage in stages), key=lambda p: p[0])
    header = ["students", "folds", *(title for title, _ in COLUMNS.values()), "verdict"]
    note = (
        "A teacher after fine-tuning, on the patches of its fold's labelled training parts. Codes "
        f"must change the mask (Dice with another patch's codes under {SAME_MASK:g}), say "
        "something of vessels (R² of code -> vessel share of its cell, patches apart predicting, "
        "over 0) and rebuild the image better than its cells' means. The teacher's DSC is on "
        "labels it was trained on: optimistic."
    )
    return Grid(header, [_row(records, folds, stage) for folds, stage in placed], [note])


def _row(records: StudyRecords, folds: str, stage: StageRun) -> list[Item]:
    arms = dict.fromkeys(t.arm for t in records.trials if t.examination == stage.tags["key"])
    titles = [arm_title(arm) for arm in arms]
    named = ", ".join(titles) if len(titles) <= NAMED else f"{len(titles)} arms"
    numbers = [
        f"{stage.numbers[name]:.{digits}f}" if name in stage.numbers else NOTHING
        for name, (_, digits) in COLUMNS.items()
    ]
    fails = stage.tags.get("void", "")
    verdict = Item("fails" if fails else "passes", mark=UNPROVEN if fails else "")
    run = Link("examination", fails or "passes", stage.run_id)
    return [*map(Item, (named, folds, *numbers)), Item(verdict.text, False, verdict.mark, (run,))]


def _folds(records: StudyRecords, stage: StageRun) -> str:
    return _listed({t.fold for t in records.trials if t.examination == stage.tags["key"]})


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
