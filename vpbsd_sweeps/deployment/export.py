"""Hands out a final student: a folder that `vpbsd segment` reads, its card, a model version."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from vpbsd.inference.model import write_settings
from vpbsd.pipeline.crossings import arm_title
from vpbsd.pipeline.stages import Stage
from vpbsd_sweeps.deployment.registry import register
from vpbsd_sweeps.deployment.selection import Choice
from vpbsd_sweeps.reporting.grid import Grid, Item, markdown
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.tracking import tags as tag
from vpbsd_sweeps.tracking.retry import RetryingTracker
from vpbsd_sweeps.tracking.tracker import Tracker


def card(study: str, choice: Choice, student: Stage) -> str:
    """Writes the model card, in Markdown."""
    parts = student.parts["labelled"]
    rows = [[Item(name), Item(str(score))] for name, score in choice.scores.items()]
    numbers = markdown(Grid(["metric", "mean ± sd over folds"], rows))
    left_out = ", ".join(choice.left_out) or "none"
    return (
        f"# {study}: {arm_title(choice.arm)}\n\n"
        f"Light UNet student for vessel segmentation in 3-D microscopy, trained on all "
        f"{len({p.volume.name for p in parts})} labelled volumes of "
        f"{len({p.volume.group for p in parts})} groups.\n\n"
        f"- Selection rule: {choice.rule}.\n"
        f"- Could not be chosen: {left_out}.\n"
        f"- Optimism: {choice.optimism}.\n"
        f"- The numbers below are the study's cross-validated ones, the estimate of what this "
        f"model does on new volumes of the same kind; this very network was not tested on them.\n"
        f"- Student stage {student.key}, seed {student.seed}.\n"
        f"- Trials: {', '.join(choice.runs)}.\n\n"
        f"{numbers}"
    )


def export_student(student: Stage, last: Stage, store: Store, choice: Choice, out: Path) -> None:
    """Writes weights, config, card and, if volumes were held out, what was measured on them."""
    out.mkdir(parents=True, exist_ok=True)
    folder, data = store.open(student.key), choice.settings.data
    for name in ("weights.safetensors", "network.json", "stage.json"):
        shutil.copyfile(folder / name, out / name)
    trained_on = {p.volume for p in student.parts["labelled"]}
    write_settings(out, data, trained_on)
    (out / "card.md").write_text(card(out.name, choice, student))
    if last is not student:
        rows = store.read(last.key, "rows.json")["rows.json"]
        (out / "holdout.json").write_bytes(rows)
        for row in json.loads(rows):
            print(f"held out: {row['volume']} DSC {row['dsc']:.3f}")


def register_student(
    tracker: Tracker, study: str, choice: Choice, student: Stage, out: Path
) -> None:
    """Makes a model version of an exported student, once per student stage."""
    scores = {name: spread.mean for name, spread in choice.scores.items()}
    tags = {
        tag.FINAL_STAGE: student.key,
        tag.ARM: choice.arm,
        tag.SEED: str(student.seed),
        tag.RULE: choice.rule,
        tag.TRIALS: " ".join(choice.runs),
    }
    version = RetryingTracker(tracker).retry(lambda: register(tracker, study, out, scores, tags))
    print(f"registered as model '{study}' version {version}; files in {out}")
