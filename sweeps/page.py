"""The report as one page of HTML that needs nothing else: styles inline, pictures inside."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sweeps import typeset
from sweeps.evidence import Evidence, StageRun, TrialRun
from sweeps.findings import PRIMARY, Findings
from sweeps.guards import notices
from sweeps.plan import hours
from sweeps.tables import HIGHER_IS_BETTER
from sweeps.tracking import flat
from vpbsd.recipes import REFERENCES

TEMPLATE = "report.html.j2"
CODEBOOKS_SHOWN = 3
CODEBOOK = {
    "code_patches": "What the code words look like: pieces of the input nearest to each of them.",
    "code_usage": "How often each code word is the nearest one.",
    "reconstructions": "Inputs, and what the decoder makes of right and of shuffled codes.",
}
"""Caption by file name."""


@dataclass(frozen=True)
class Picture:
    """A picture inside the page, what it shows, and the run it belongs to."""

    source: str
    caption: str
    run_id: str = ""


def page(findings: Findings, figures: dict[str, str], folder: Path, url: str) -> str:
    """The page.

    Args:
        findings: What it tells.
        figures: Name -> caption of the figures drawn.
        folder: Where their SVG files lie.
        url: Of the tracking server, if it is one that a browser can open.
    """
    evidence = findings.evidence
    base = url.rstrip("/") if url.startswith("http") else ""
    rooms = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return rooms.get_template(TEMPLATE).render(
        study=evidence.study,
        summary=list(summary(findings)),
        ran=dict(ran(evidence)),
        notices=notices(evidence),
        main=typeset.main_table(findings),
        spread=typeset.spread_table(findings),
        comparison=typeset.comparison_table(findings),
        figures=[
            Picture(inside((folder / f"{name}.svg").read_bytes(), "svg+xml"), caption)
            for name, caption in figures.items()
        ],
        overlays=list(overlays(findings)),
        codebooks=list(codebooks(evidence)),
        trials=evidence.trials,
        metrics=findings.columns,
        settings=sorted((k, str(v)) for k, v in flat(evidence.facts["settings"]).items()),
        runs=f"{base}/#/experiments/{evidence.experiment}/runs/",
        served=bool(base),
        parent=evidence.parent,
    )


def summary(findings: Findings) -> Iterator[str]:
    """What was found, in sentences; nothing the tables do not say."""
    if findings.winner is None:
        yield "No student arm has a valid result in every trial: there is nothing to rank."
        return
    best, base = findings.row(findings.winner), findings.row(findings.baseline)
    yield f"Best student by mean DSC over folds: {best.title}, {best.mean(PRIMARY):.3f}."
    compared = findings.comparison(best.arm, PRIMARY)
    if compared:
        p = compared.paired
        holm = compared.p_flip_holm
        yield (
            f"Against {base.title}: {p.difference:+.4f} (95 % interval {p.low:+.4f} to "
            f"{p.high:+.4f}, {p.groups} groups, sign-flip p {p.p_flip:.3f}, {holm:.3f} after "
            f"Holm): {'shown' if holm < 0.05 else 'not shown'} at 5 %."
        )
        if p.detectable > 0:  # NaN where the groups' differences do not spread
            yield (
                f"A true difference under {p.detectable:.4f} had less than four chances in five "
                "to be seen here, even before correction."
            )
    references = [row for row in findings.valid if row.arm in REFERENCES]
    for row in references:
        yield f"{row.title}, the reference: {row.mean(PRIMARY):.3f}."
    void = [row.title for row in findings.rows if row.void]
    if void:
        yield f"Left out of all averages: {', '.join(void)}."


def ran(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Under what the study was run, as names and values."""
    facts, protocol = evidence.facts, evidence.facts["settings"]["protocol"]
    stages = list(evidence.stages.values())
    yield "data", f"fingerprint {facts['data'][:16]}, {_groups(evidence)}"
    yield "protocol", f"{protocol['folds']} folds by {protocol['split']}, last epoch, no selection"
    yield "seeds", f"students {_listed(facts['seeds'])}; teacher {facts['teacher_seed']}"
    yield "precision", facts["settings"]["precision"]
    for name, tags in (
        ("commit", ("commit",)),
        ("hardware", ("device", "host")),
        ("libraries", ("python", "torch", "monai", "numpy")),
    ):
        yield name, _told(stages, tags)
    yield "trials and stages", f"{len(evidence.trials)} trials on {len(stages)} unique stages"
    work = evidence.hours
    asked, spent, stored = (_work(*pair) for pair in (work.asked, work.spent, work.stored))
    saved = work.asked[0] - work.spent[0]
    yield "work asked for", f"{asked}, if every trial trained its own stages"
    yield "work spent", spent + (f"; {stored} was stored before" if work.stored[0] else "")
    yield "work saved", f"{hours(saved)} ({saved / max(work.asked[0], 1e-9):.0%})"
    done = max((s.numbers.get("sys/finished", 0.0) for s in stages), default=0.0)
    yield "last stage ended", f"{datetime.fromtimestamp(done, UTC):%Y-%m-%d %H:%M} UTC"


def overlays(findings: Findings) -> Iterator[tuple[str, list[Picture]]]:
    """Best, median and worst volume by DSC of the winner and of the baseline."""
    for arm in dict.fromkeys(a for a in (findings.winner, findings.baseline) if a):
        row = findings.row(arm)
        if row.spreads:
            yield row.title, list(_extremes(findings.evidence, row.trials))


def codebooks(evidence: Evidence) -> Iterator[tuple[str, list[Picture]]]:
    """The pictures of pre-training, by stage."""
    stages = [s for s in evidence.of_family("pre-training")][:CODEBOOKS_SHOWN]
    for stage in stages:
        shown = {
            "argmin perplexity": "perplexity",
            "codes in use": "code_usage",
            "bypass gap": "bypass_gap",
        }
        numbers = [f"{k} {stage.numbers[v]:.3g}" for k, v in shown.items() if v in stage.numbers]
        verdict = stage.tags.get("void") or "valid"
        title = f"Pre-training {stage.tags['key'][:12]}: {', '.join([*numbers, verdict])}"
        paths = evidence.tracker.files(stage.run_id, "pictures")
        yield (
            title,
            [
                Picture(_fetched(evidence, stage.run_id, path), _told_of(path), stage.run_id)
                for path in paths
                if path.endswith(".png")
            ],
        )


def inside(content: bytes, kind: str) -> str:
    """A data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _extremes(evidence: Evidence, trials: list[TrialRun]) -> Iterator[Picture]:
    """Of an arm; a volume is its mean over seeds, and shown with the first of them."""
    seen: dict[tuple[int, str], list[TrialRun]] = {}
    for trial in trials:
        for volume in trial.result.values[PRIMARY]:
            seen.setdefault((trial.result.fold, volume), []).append(trial)
    scored = sorted(
        (mean(t.result.values[PRIMARY][volume] for t in of_volume), fold, volume)
        for (fold, volume), of_volume in seen.items()
    )
    assert PRIMARY in HIGHER_IS_BETTER
    chosen = {"best": scored[-1], "median": scored[len(scored) // 2], "worst": scored[0]}
    for word, (score, fold, volume) in chosen.items():
        trial = seen[fold, volume][0]
        run_id = trial.result.run_id
        for path in evidence.tracker.files(run_id, "pictures"):
            kind = re.fullmatch(rf"pictures/(\w+?)_\d+_{re.escape(volume)}\.png", path)
            if kind:
                caption = f"{word}: {volume}, fold {fold}, DSC {score:.3f}: {kind[1]}"
                yield Picture(_fetched(evidence, run_id, path), caption, run_id)


def _fetched(evidence: Evidence, run_id: str, path: str) -> str:
    return inside(evidence.tracker.content(run_id, path), "png")


def _told_of(path: str) -> str:
    return CODEBOOK.get(Path(path).stem, Path(path).stem.replace("_", " "))


def _groups(evidence: Evidence) -> str:
    groups = {g for t in evidence.trials for g in t.groups.values()}
    volumes = {v for t in evidence.trials for v in t.groups}
    return f"{len(volumes)} labelled volumes of {len(groups)} groups"


def _told(stages: list[StageRun], names: tuple[str, ...]) -> str:
    """All values of some tags over the stages, each once."""
    return "; ".join(
        f"{name} {_listed(values)}"
        for name in names
        if (values := sorted({s.tags[name] for s in stages if name in s.tags}))
    )


def _listed(values: list[object] | list[str]) -> str:
    return ", ".join(map(str, values))


def _work(seconds: float, gpu_hours: float) -> str:
    return hours(seconds) + (f" ({gpu_hours:.1f} GPU-hours)" if gpu_hours else " of slices")
