"""What a study consists of, in the store: for watching it without its data or its settings."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from statistics import mean
from typing import Any

from sweeps.lock import holder
from sweeps.plan import FAMILIES, Plan, hours
from sweeps.store import Manifest, Store
from sweeps.void import voided_by
from sweeps.worker import SPENT
from vpbsd.arms import TITLES
from vpbsd.config import nearest
from vpbsd.errors import BadInput

OUTLINE = "outline.json"


def outline(plan: Plan) -> dict[str, Any]:
    """Stages (key, family, label, guessed seconds) and trials (arm, key, what would void them)."""
    costs, states = plan.stock.costs(), plan.stock.states
    return {
        "stages": [
            {
                "key": stage.key,
                "family": stage.family,
                "label": stage.label,
                "guess": costs[stage.key],
                "before": states[stage.key] == "stored",
            }
            for stage in plan.stock.stages
        ],
        "trials": [
            {
                "arm": trial.arm,
                "key": trial.stage.key,
                "voided_by": [stage.key for stage in voided_by(trial.stage)],
            }
            for trial in plan.study.trials
        ],
    }


def standing(study: str, store: Store) -> Iterator[str]:
    """How a study stands, line by line: who drives it, what is done, what runs, the best so far.

    Raises:
        BadInput: There is no such study in the store.
    """
    told = store.read_json(f"{study}/{OUTLINE}")
    if told is None:
        raise BadInput(
            f"there is no study '{study}' in {store.url}{nearest(study, store.studies())}"
        )
    stages, trials = told["stages"], told["trials"]
    manifests = {stage["key"]: store.manifest(stage["key"]) for stage in stages}
    stored = {key: m for key, m in manifests.items() if m is not None}
    driver = holder(study, store)
    yield f"study {study}: " + (
        f"driven by process {driver['pid']} on {driver['host']}"
        if driver
        else "no driver is running"
    )
    yield "stage          | stored | to do"
    for family in FAMILIES:
        own = Counter(s["key"] in stored for s in stages if s["family"] == family)
        yield f"{family:<14} | {own[True]:>6} | {own[False]:>5}"
    for stage in stages:
        if stage["key"] not in stored:
            yield from _begun(stage, store)
    yield from _best(trials, stored, store)
    ours = [s["key"] for s in stages if s["key"] in stored and not s["before"]]
    spent = sum(stored[key].facts["seconds"] for key in ours)
    left = sum(stage["guess"] for stage in stages if stage["key"] not in stored)
    yield f"spent {hours(spent)} of slices, about {hours(left)} of work left"


def _begun(stage: dict[str, Any], store: Store) -> Iterator[str]:
    spent = store.load_running(stage["key"], SPENT)
    if spent is not None:
        told = json.loads(spent)
        ago = hours(time.time() - told["time"])
        yield f"  {stage['label']}: {told['share']:.0%} at its checkpoint {ago} ago"


def _best(
    trials: list[dict[str, Any]], stored: dict[str, Manifest], store: Store
) -> Iterator[str]:
    """The arm with the highest mean DSC over the folds that it has; void trials do not count."""
    ended = [trial for trial in trials if trial["key"] in stored]
    scores: dict[str, list[float]] = defaultdict(list)
    for trial in ended:
        if not any(stored[k].facts["void"] for k in trial["voided_by"] if k in stored):
            rows = json.loads((store.open(trial["key"]) / "rows.json").read_text())
            scores[trial["arm"]].append(mean(row["dsc"] for row in rows))
    yield f"{len(ended)} of {len(trials)} trials"
    if scores:
        arm = max(scores, key=lambda a: mean(scores[a]))
        yield (
            f"best so far: {TITLES.get(arm, arm)}, DSC {mean(scores[arm]):.3f} over "
            f"{len(scores[arm])} of its trials"
        )
