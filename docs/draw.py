"""Draws the line pictures of these pages: `python docs/draw.py` writes docs/pictures/*.svg.

What the boxes name is data, so that a test can look whether it is still there.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

HERE = Path(__file__).parent / "pictures"
INK, SOFT = "#1f2933", "#52606d"
BLUE, GREEN, SAND, ROSE, GREY = "#dbeafe", "#dcf5e3", "#fdf0d5", "#fbe0e4", "#eef1f4"


class Box(NamedTuple):
    """A rectangle around (x, y), with a title and smaller lines below it."""

    x: float
    y: float
    width: float
    height: float
    title: str
    lines: tuple[str, ...] = ()
    fill: str = BLUE


FLOW = {
    "unlabelled": Box(1.3, 5.2, 2.3, 0.8, "unlabelled volumes", fill=GREY),
    "labelled": Box(5.0, 5.2, 2.5, 0.8, "labelled volumes", ("training groups",), GREY),
    "test": Box(10.9, 5.2, 2.0, 0.8, "test groups", fill=GREY),
    "pre-training": Box(
        1.3, 3.6, 2.3, 1.1, "pre-training", ("teacher + codebook", "one for all folds"), SAND
    ),
    "fine-tuning": Box(5.0, 3.6, 2.5, 1.1, "fine-tuning", ("teacher on labels", "one per fold")),
    "targets": Box(
        5.0, 1.7, 2.5, 1.3, "targets", ("code words,", "pseudo-labels, features:", "computed once")
    ),
    "student": Box(
        8.2, 1.7, 2.1, 1.1, "student", ("Light UNet, 0.12 M", "one per arm, seed"), GREEN
    ),
    "evaluation": Box(
        10.9, 1.7, 1.9, 1.1, "evaluation", ("whole volumes,", "metrics, overlays"), ROSE
    ),
    "table": Box(13.2, 1.7, 1.5, 1.1, "table", ("in MLflow,", "and printed"), GREY),
}
FLOW_ARROWS = (
    ("unlabelled", "pre-training"),
    ("pre-training", "fine-tuning"),
    ("labelled", "fine-tuning"),
    ("fine-tuning", "targets"),
    ("targets", "student"),
    ("student", "evaluation"),
    ("test", "evaluation"),
    ("evaluation", "table"),
)
ROOMS = (
    ("commands", "what users type, thin", "", ROSE),
    ("cli", "options that commands share", "", ROSE),
    ("drivers", "connect, show, run, be interrupted", "", ROSE),
    ("deployment", "choose, export and register the final model", "imports mlflow", BLUE),
    ("reporting", "records -> analysis -> tables, figures, page", "", BLUE),
    ("tracking", "runs in MLflow, and patience", "imports mlflow", BLUE),
    ("monitor", "progress, status, hours", "", BLUE),
    ("tuning", "search: space, sampler, trials, journal", "alone imports optuna", GREEN),
    ("study", "arms x folds x seeds, and their plan", "", GREEN),
    ("execution", "jobs, scheduler, workers, slices", "alone imports ray", SAND),
    ("store", "results by key, checkpoints, locks", "", GREY),
)
STAGE = (
    (
        "plan",
        "vpbsd_sweeps/study/plan.py",
        "the stages of every trial, and which are stored",
    ),
    ("job", "vpbsd_sweeps/execution/jobs.py", "key, family and the stage itself as JSON"),
    ("scheduler", "vpbsd_sweeps/execution/scheduler.py", "each key runs once, whoever asks"),
    ("worker", "vpbsd_sweeps/execution/worker.py", "inputs from the store, steps, checkpoints"),
    ("run", "vpbsd/pipeline/run.py", "trains, computes targets, evaluates or times"),
    ("store", "vpbsd_sweeps/store/results.py", "committed last, by manifest.json with checksums"),
    (
        "MLflow",
        "vpbsd_sweeps/tracking/stage_runs.py",
        "a run per stage, from the store alone",
    ),
    ("report", "vpbsd_sweeps/reporting/records.py", "read back from MLflow alone"),
)
NUMBER = (
    ("voxels", "vpbsd/inference/sliding_window.py", "vessel probability of a whole volume"),
    ("metrics", "vpbsd/evaluation/metrics.py", "DSC, HD95, Jaccard ... of one volume"),
    ("row", "vpbsd/pipeline/run_evaluate.py", "one per volume, in rows.json of the evaluation"),
    (
        "trial",
        "vpbsd_sweeps/tracking/sweep_runs.py",
        "test/dsc of an arm, fold and seed in MLflow",
    ),
    ("spread", "vpbsd_sweeps/reporting/significance.py", "mean and deviation over folds"),
    ("table", "vpbsd_sweeps/reporting/tables.py", "printed, Markdown, LaTeX, HTML; bold or not"),
)


def main(folder: Path = HERE) -> None:
    """Draws all four into a folder."""
    matplotlib.rcParams["svg.hashsalt"] = "vpbsd"  # the same bytes each time
    pictures = {"flow": flow(), "rooms": rooms(), "stage": chain(STAGE), "number": chain(NUMBER)}
    for name, at in pictures.items():
        save(at, folder / f"{name}.svg")


def flow() -> Axes:
    """Draws how data become a table."""
    at = canvas(14.2, 6.0)
    for box in FLOW.values():
        draw(at, box)
    for start, end in FLOW_ARROWS:
        arrow(at, FLOW[start], FLOW[end])
    bend(at, [(0.15, 5.2), (0.05, 5.2), (0.05, 1.7), (3.75, 1.7)])
    bend(at, [(6.25, 5.2), (8.2, 5.2), (8.2, 2.25)])
    at.text(
        1.9, 1.82, "unlabelled patches\n(the student's, too)", ha="center", fontsize=11, color=SOFT
    )
    at.text(8.3, 3.6, "labels", fontsize=11, color=SOFT)
    told = "Each coloured box is a stage: its key is a hash of all that can change its result, "
    told += "and it is trained once, whoever asks."
    at.text(7.1, 0.55, told, ha="center", fontsize=12.5, color=INK)
    return at


def rooms() -> Axes:
    """Draws the rooms of the sweeps, upper ones importing from lower ones only."""
    at = canvas(11.0, 8.2)
    for i, (name, about, library, fill) in enumerate(ROOMS):
        y = 7.7 - 0.56 * i
        draw(at, Box(4.3, y, 8.2, 0.48, "", fill=fill))
        at.text(0.4, y, f"vpbsd_sweeps/{name}/", va="center", fontsize=11, weight="bold")
        at.text(3.5, y, about, va="center", fontsize=10.5, color=SOFT)
        at.text(9.65, y, library, va="center", ha="center", fontsize=10, color=INK)
    draw(at, Box(4.3, 1.4, 8.2, 0.48, "", fill=GREY))
    at.text(
        0.4, 1.4, "messages, patience, periodic, units, provenance", va="center", fontsize=10.5
    )
    draw(at, Box(4.3, 0.62, 8.2, 0.7, "", fill="#ffffff"))
    at.text(0.4, 0.62, "vpbsd/", va="center", fontsize=12, weight="bold")
    science = "the science: knows no ray, optuna or mlflow"
    at.text(3.5, 0.62, science, va="center", fontsize=10.5, color=SOFT)
    at.annotate("", (8.75, 0.4), (8.75, 7.9), arrowprops={"arrowstyle": "-|>", "color": INK})
    at.text(9.65, 0.62, "imports only\npoint down", va="center", ha="center", fontsize=10)
    return at


def chain(steps: tuple[tuple[str, str, str], ...]) -> Axes:
    """Draws a column of steps, each with its file and what happens there."""
    at = canvas(7.2, 0.85 * len(steps) + 0.1)
    boxes = []
    for i, (title, path, about) in enumerate(steps):
        y = 0.85 * (len(steps) - i) - 0.35
        boxes.append(Box(1.1, y, 1.9, 0.52, title, (), fill_of(path)))
        draw(at, boxes[-1])
        at.text(2.3, y + 0.12, path, va="center", fontsize=11, color=INK)
        at.text(2.3, y - 0.13, about, va="center", fontsize=10.5, color=SOFT)
    for upper, lower in zip(boxes, boxes[1:], strict=False):
        arrow(at, upper, lower)
    return at


def fill_of(path: str) -> str:
    """Gives a file the colour of its room; the science is white."""
    return next((room[3] for room in ROOMS if f"vpbsd_sweeps/{room[0]}/" in path), "#ffffff")


def canvas(width: float, height: float) -> Axes:
    """Makes an empty picture, a unit of it an inch."""
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasSVG(figure)
    at = figure.add_axes((0, 0, 1, 1))
    at.set_xlim(0, width)
    at.set_ylim(0, height)
    at.set_axis_off()
    return at


def draw(at: Axes, box: Box) -> None:
    """Draws a box with its words."""
    corner = (box.x - box.width / 2, box.y - box.height / 2)
    style = "round,pad=0,rounding_size=0.08"
    at.add_patch(
        FancyBboxPatch(corner, box.width, box.height, style, facecolor=box.fill, edgecolor=SOFT)
    )
    count = len(box.lines)
    top = box.y + 0.11 * count
    at.text(box.x, top, box.title, ha="center", va="center", fontsize=14, weight="bold", color=INK)
    for i, line in enumerate(box.lines):
        y = top - 0.25 - 0.22 * i
        at.text(box.x, y, line, ha="center", va="center", fontsize=11.5, color=SOFT)


def arrow(at: Axes, a: Box, b: Box) -> None:
    """Draws an arrow between two boxes beside or above each other."""
    if abs(a.y - b.y) < 0.01:
        ends = (a.x + a.width / 2, a.y), (b.x - b.width / 2, b.y)
    else:
        ends = (a.x, a.y - a.height / 2), (b.x, b.y + b.height / 2)
    bend(at, list(ends))


def bend(at: Axes, places: list[tuple[float, float]]) -> None:
    """Draws a line through some places, with a head at its end."""
    *way, last = places
    for a, b in zip(way, way[1:], strict=False):
        at.plot((a[0], b[0]), (a[1], b[1]), color=SOFT, linewidth=1.3)
    at.annotate("", last, way[-1], arrowprops={"arrowstyle": "-|>", "color": SOFT, "lw": 1.3})


def save(at: Axes, path: Path) -> None:
    """Writes a picture and, as its description, the words in it; no date, which would change."""
    figure = at.figure
    assert isinstance(figure, Figure)
    words = " | ".join(text.get_text() for text in at.texts if text.get_text())
    figure.savefig(path, metadata={"Date": None, "Description": words})


if __name__ == "__main__":
    main()
