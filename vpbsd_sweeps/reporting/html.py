"""The report as one page of HTML that needs nothing else: styles inline, pictures inside."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.image import imsave
from numpy.typing import NDArray

from vpbsd.evaluation.code_statistics import SAME_MASK
from vpbsd.evaluation.picture_names import is_of, kind_and_volume
from vpbsd.pipeline.recipes import is_reference
from vpbsd_sweeps.monitor.accounting import Hours
from vpbsd_sweeps.reporting import label_figure, label_tables, tables
from vpbsd_sweeps.reporting.analysis import StudyAnalysis
from vpbsd_sweeps.reporting.checks import notices
from vpbsd_sweeps.reporting.class_table import class_table
from vpbsd_sweeps.reporting.code_table import code_table
from vpbsd_sweeps.reporting.columns import COLUMNS, PRIMARY, heading
from vpbsd_sweeps.reporting.label_efficiency import LabelEfficiency
from vpbsd_sweeps.reporting.pretraining_table import pretraining_table
from vpbsd_sweeps.reporting.records import StageRun, StudyRecords, TrialResult
from vpbsd_sweeps.reporting.side_by_side import STRIP, rows_of_pictures, shown_volumes
from vpbsd_sweeps.reporting.teacher_table import teacher_table
from vpbsd_sweeps.reporting.threshold import against_threshold
from vpbsd_sweeps.reporting.verdict import verdict
from vpbsd_sweeps.study.identity import counted_folds, protocol_of
from vpbsd_sweeps.tracking.tracker import flat
from vpbsd_sweeps.units import hours

TEMPLATE = "report.html.j2"
CODEBOOKS_SHOWN = 3
SILHOUETTES = {
    "silhouette/pre-trained": "silhouette of pre-trained tokens",
    "silhouette/fine-tuned": "of fine-tuned ones",
}
CODEBOOK = {
    "code_patches": "What the code words look like: pieces of the input nearest to each of them.",
    "code_usage": "How often each code word is the nearest one.",
    "swapped_codes": "Masks of the fine-tuned teacher with own and with another patch's codes.",
    "code_vessel_share": "How much vessel lies in the cells of each code word.",
    "reconstructions": "Inputs, and what the decoder makes of right and of shuffled codes.",
}
"""Caption by file name."""


@dataclass(frozen=True)
class Picture:
    """A picture inside the page ("" where it is missing), what it shows, and whose run it is."""

    source: str
    caption: str
    run_id: str = ""


def page(
    analysis: StudyAnalysis,
    figures: dict[str, str],
    folder: Path,
    url: str,
    labels: LabelEfficiency | None = None,
) -> str:
    """Writes the page.

    Args:
        analysis: What it tells.
        figures: Name -> caption of the figures drawn.
        folder: Where their SVG files lie.
        url: Of the tracking server, if it is one that a browser can open.
        labels: What label studies say together, its figure in the same folder; None: not one.
    """
    records = analysis.records
    base = url.rstrip("/") if url.startswith("http") else ""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template(TEMPLATE).render(
        study=records.study,
        summary=list(summary(analysis)),
        ran=dict(ran(records)),
        notices=notices(records),
        main=tables.main_table(analysis),
        classes=class_table(analysis),
        spread=tables.spread_table(analysis),
        comparison=tables.comparison_table(analysis),
        evidence=code_table(records),
        pretraining=pretraining_table(analysis),
        teachers=teacher_table(records),
        figures=[_drawn(folder, name, caption) for name, caption in figures.items()],
        labels=labels and [label_tables.score_table(labels), label_tables.gain_table(labels)],
        label_figure=labels and _drawn(folder, label_figure.NAME, label_figure.CAPTION),
        rows_of_pictures=[
            Picture(inside(_png(picture), "png"), caption)
            for caption, picture in rows_of_pictures(analysis)
        ],
        overlays=list(overlays(analysis)),
        codebooks=list(codebooks(records)),
        trials=records.trials,
        metrics={metric: heading(metric) for metric in analysis.columns},
        settings=sorted((k, str(v)) for k, v in flat(records.identity["settings"]).items()),
        runs=f"{base}/#/experiments/{records.experiment}/runs/",
        served=bool(base),
        parent=records.parent,
    )


def summary(analysis: StudyAnalysis) -> Iterator[str]:
    """Says in sentences what was found, the verdict first."""
    yield verdict(analysis).sentence
    if analysis.winner is None:
        yield "No student arm has a valid result in every trial: there is nothing to rank."
        return
    best = analysis.row(analysis.winner)
    title, mean_of = COLUMNS[analysis.primary], best.mean(analysis.primary)
    yield f"Best student by mean {title} over folds: {best.title}, {mean_of:.3f}."
    yield from against_threshold(analysis)
    references = [row for row in analysis.valid if is_reference(row.arm)]
    for row in references:
        yield f"{row.title}, a reference: {row.mean(analysis.primary):.3f}."
    void = [row.title for row in analysis.rows if row.void]
    if void:
        yield f"Left out of all averages: {', '.join(void)}."
    unproven = [row.title for row in analysis.rows if row.unproven]
    if unproven:
        yield (
            f"Unproven, so never the best: {', '.join(unproven)}. The code words they learned "
            "carry nothing, and L_dis claims nothing."
        )


def ran(records: StudyRecords) -> Iterator[tuple[str, str]]:
    """Yields under what the study was run, as names and values."""
    identity = records.identity
    split = protocol_of(identity).split
    stages = list(records.stages.values())
    yield "data", f"fingerprint {identity['data'][:16]}, {_groups(records)}"
    yield "protocol", f"{counted_folds(identity)} by {split}, last epoch, no selection"
    for line in records.tags.get("normalise", "").splitlines():  # chosen on training groups
        fold, _, what = line.removeprefix("- ").partition(": ")
        yield f"normalisation, {fold}", what
    yield "seeds", f"students {_listed(identity['seeds'])}; teacher {identity['teacher_seed']}"
    yield "precision", identity["settings"]["precision"]
    for name, tags in (
        ("commit", ("commit",)),
        ("hardware", ("device", "host")),
        ("libraries", ("python", "torch", "monai", "numpy")),
    ):
        yield name, _values(stages, tags)
    yield "trials and stages", f"{len(records.trials)} trials on {len(stages)} unique stages"
    requested, spent, stored = records.work_requested, records.work_spent, records.work_stored
    saved = requested.slices - spent.slices
    before = f"; {_work(stored)} was stored before" if stored.slices else ""
    yield "work asked for", f"{_work(requested)}, if every trial trained its own stages"
    yield "work spent", _work(spent) + before
    yield "work saved", f"{hours(3600 * saved)} ({saved / max(requested.slices, 1e-9):.0%})"
    done = max((s.numbers.get("sys/finished", 0.0) for s in stages), default=0.0)
    yield "last stage ended", f"{datetime.fromtimestamp(done, UTC):%Y-%m-%d %H:%M} UTC"


def overlays(analysis: StudyAnalysis) -> Iterator[tuple[str, list[Picture]]]:
    """Yields best, median and worst volume by DSC of the winner and of the baseline."""
    for arm in dict.fromkeys(a for a in (analysis.winner, analysis.baseline) if a):
        row = analysis.row(arm)
        if row.spreads:
            pictures = list(_extremes(analysis.records, row.trials))
            found = {picture.caption.partition(":")[0] for picture in pictures}
            missing = [word for word in ("best", "median", "worst") if word not in found]
            pictures += [Picture("", f"{word} volume: no picture in MLflow") for word in missing]
            yield row.title, pictures


def codebooks(records: StudyRecords) -> Iterator[tuple[str, list[Picture]]]:
    """Yields the pictures of teachers and of examinations, by stage."""
    families = {
        "pre-training": "Pre-training",
        "fine-tuning": "Fine-tuning",
        "examination": "Examination",
    }
    stages = [s for family in families for s in records.of_family(family)[:CODEBOOKS_SHOWN]]
    for stage in stages:
        numbers = list(code_numbers(stage))
        verdict = stage.tags.get("void") or "valid"
        title = (
            f"{families[stage.family]} {stage.tags['key'][:12]}: {', '.join([*numbers, verdict])}"
        )
        paths = records.tracker.list_files(stage.run_id, "pictures")
        yield (
            title,
            [
                Picture(_fetched(records, stage.run_id, path), _caption(path), stage.run_id)
                for path in paths
                if path.endswith(".png")
            ],
        )


def code_numbers(stage: StageRun) -> Iterator[str]:
    """Yields what was measured of a codebook, with what would make it void."""
    n = stage.numbers
    size = int(stage.params.get("method.network.codebook.size", 0))
    if "perplexity" in n:
        least = f" (void below {max(2.0, 0.1 * size):.3g})" if size else ""
        yield f"argmin perplexity {n['perplexity']:.3g}{least}"
    if "code_usage" in n:
        used = f"{n['code_usage']:.0%}" if not size else f"{n['code_usage'] * size:.0f} of {size}"
        yield f"codes in use {used}"
    if "bypass_gap" in n:
        whole = n.get("mse_shuffled_codes", 0.0)
        share = f"{100 * n['bypass_gap'] / whole:.0f} %" if whole else "an unknown share"
        of = f"{share} of the error with shuffled codes (void below 10 %)"
        yield f"bypass gap {n['bypass_gap']:.3g}, {of}"
    for name, what in SILHOUETTES.items():
        if name in n:
            yield f"{what} {n[name]:.3g}"
    if "swapped_dice" in n:
        yield f"Dice with swapped codes {n['swapped_dice']:.3g} (fails from {SAME_MASK:g} on)"
    if "r2_vessel_share" in n:
        yield f"R² of vessel share {n['r2_vessel_share']:.3g} (fails at 0 and below)"


def _drawn(folder: Path, name: str, caption: str) -> Picture:
    return Picture(inside((folder / f"{name}.svg").read_bytes(), "svg+xml"), caption)


def inside(content: bytes, kind: str) -> str:
    """Writes a picture as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _extremes(records: StudyRecords, trials: list[TrialResult]) -> Iterator[Picture]:
    """Yields an arm's; a volume is its mean over seeds, and shown with the first of them."""
    for word, score, fold, volume in shown_volumes(trials):
        run_id = next(t.run_id for t in trials if t.fold == fold and volume in t.values[PRIMARY])
        for path in records.tracker.list_files(run_id, "pictures"):
            kind, _ = kind_and_volume(path, volume) or ("", "")
            if kind and not is_of(kind, STRIP):
                caption = f"{word}: {volume}, fold {fold}, DSC {score:.3f}: {kind}"
                yield Picture(_fetched(records, run_id, path), caption, run_id)


def _png(picture: NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    imsave(file, picture, format="png")
    return file.getvalue()


def _work(amount: Hours) -> str:
    on_gpus = f" ({amount.gpus:.1f} GPU-hours)" if amount.gpus else " of slices"
    return hours(3600 * amount.slices) + on_gpus


def _fetched(records: StudyRecords, run_id: str, path: str) -> str:
    """Downloads a picture; "" of one that cannot be had, which the page then says."""
    content = records.read_picture(run_id, path)
    return inside(content, "png") if content is not None else ""


def _caption(path: str) -> str:
    return CODEBOOK.get(Path(path).stem, Path(path).stem.replace("_", " "))


def _groups(records: StudyRecords) -> str:
    groups = {g for t in records.trials for g in t.groups.values()}
    volumes = {v for t in records.trials for v in t.groups}
    return f"{len(volumes)} labelled volumes of {len(groups)} groups"


def _values(stages: list[StageRun], names: tuple[str, ...]) -> str:
    """Lists all values of some tags over the stages, each once."""
    return "; ".join(
        f"{name} {_listed(values)}"
        for name in names
        if (values := sorted({s.tags[name] for s in stages if name in s.tags}))
    )


def _listed(values: list[object] | list[str]) -> str:
    return ", ".join(map(str, values))
