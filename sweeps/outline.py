"""What a study consists of, in the store: for watching it without its data or its settings."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from sweeps.journal import Journal
from sweeps.lock import holder
from sweeps.plan import FAMILIES, Plan, hours
from sweeps.store import Store
from sweeps.tally import Tally
from sweeps.void import voided_by
from sweeps.worker import SPENT
from vpbsd.config import nearest
from vpbsd.errors import BadInput

OUTLINE = "outline.json"


def outline(plan: Plan) -> dict[str, Any]:
    """Stages (key, family, label, guessed seconds) and trials (arm, key, what would void them).

    Of a stage also whether it was stored before, and how many trials and timings ask for it.
    """
    costs, states = plan.stock.costs(), plan.stock.states
    asked = Counter(stage.key for trial in plan.study.trials for stage in trial.stage.lineage())
    return {
        "stages": [
            {
                "key": stage.key,
                "family": stage.family,
                "label": stage.label,
                "guess": costs[stage.key],
                "before": states[stage.key] == "stored",
                "asked": asked[stage.key] or 1,
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
        journal = Journal(store, study)
        if journal.facts is not None:
            from sweeps.search_view import search_standing  # Optuna takes seconds to import

            yield from search_standing(journal, store)
            return
        raise BadInput(
            f"there is no study '{study}' in {store.url}{nearest(study, store.studies())}"
        )
    stages, trials, tally = told["stages"], told["trials"], Tally(told, store)
    tally.take(stage["key"] for stage in stages)
    driver = holder(study, store)
    yield f"study {study}: " + (
        f"driven by process {driver['pid']} on {driver['host']}"
        if driver
        else "no driver is running"
    )
    yield "stage          | stored | to do"
    for family in FAMILIES:
        own = Counter(s["key"] in tally.stored for s in stages if s["family"] == family)
        yield f"{family:<14} | {own[True]:>6} | {own[False]:>5}"
    for stage in stages:
        if stage["key"] not in tally.stored:
            yield from _begun(stage, store)
    yield f"{tally.ended} of {len(trials)} trials"
    if tally.best():
        yield tally.best()
    left = sum(stage["guess"] for stage in stages if stage["key"] not in tally.stored)
    yield f"{tally.hours()}; about {hours(left)} of work left"


def _begun(stage: dict[str, Any], store: Store) -> Iterator[str]:
    spent = store.load_running(stage["key"], SPENT)
    if spent is not None:
        told = json.loads(spent)
        ago = hours(time.time() - told["time"])
        yield f"  {stage['label']}: {told['share']:.0%} at its checkpoint {ago} ago"
