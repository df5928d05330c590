"""What MLflow is told of a search: a parent run, one run per trial and one per stage.

All of it comes from the journal and the store, so any driver brings it up to date at any time, and
nothing arrives twice.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from vpbsd.errors import BadInput
from vpbsd.pipeline.stages import Stage
from vpbsd.training.validation import DSC
from vpbsd_sweeps.provenance import commit
from vpbsd_sweeps.reporting.figures import save
from vpbsd_sweeps.reporting.search_figures import slices
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.tracking.stage_runs import StageLogger
from vpbsd_sweeps.tracking.tracker import Tracker, flat
from vpbsd_sweeps.tuning.journal import Journal, Outcome, TrialOutcome
from vpbsd_sweeps.tuning.ranking import best
from vpbsd_sweeps.tuning.search_spec import Search

OUTCOME = "vpbsd.outcome"

STATUS: dict[Outcome, str] = {
    "complete": "FINISHED",
    "stopped": "KILLED",
    "void": "KILLED",
    "infeasible": "KILLED",
    "failed": "FAILED",
}


class SearchLogger:
    """A search's runs in MLflow.

    Args:
        search: The search.
        journal: What happened.
        store: Results of its stages.
        tracker: Its experiment.
    """

    def __init__(self, search: Search, journal: Journal, store: Store, tracker: Tracker) -> None:
        self.search, self.journal, self.store, self.tracker = search, journal, store, tracker
        tags = {"vpbsd.kind": "search", "vpbsd.commit": commit()}
        tags["vpbsd.facts"] = json.dumps(search.facts)
        settings = flat(search.space.settings.model_dump(mode="json"))
        params = {"arm": search.arm, "sampler": search.sampler, "seed": search.seed, **settings}
        tracker.reopen("search")
        self.parent = tracker.ensure("search", search.name, None, params, tags)
        self._runs = StageLogger(store, tracker, self.parent)
        self._stages: dict[int, list[Stage]] = {}

    def catch_up(self) -> None:
        """Tells of every trial that began and of its stages, and how those that ended did."""
        for number, params in list(self.journal.asked.items()):  # it grows meanwhile
            unit = f"trial:{number}"
            if self.tracker.knows(unit, OUTCOME):
                continue
            told = self.journal.told.get(number)
            for stage in self._stages_of(number):
                self._runs.tell(stage)
            tags = {"vpbsd.kind": "search-trial", "vpbsd.arm": self.search.arm}
            run_id = self.tracker.ensure(unit, f"trial-{number}", self.parent, params, tags)
            if told is not None:
                self._end(unit, run_id, told)

    def interrupt(self) -> None:
        """The driver is told to end: what it leaves is shown as killed, until it goes on."""
        self.catch_up()
        self.tracker.end_running("KILLED")

    def conclude(self, text: str) -> None:
        """Tells what is new, and ends the search's run, with its findings and their picture."""
        self.catch_up()
        self.tracker.text(self.parent, text, "search.md")
        ranked = best(self.journal)
        figure = slices(
            self.search.space, [(self.journal.asked[t.number], t.value or 0.0) for t in ranked]
        )
        if figure is not None:
            with tempfile.TemporaryDirectory() as folder:
                save(figure, Path(folder) / "slices")
                self.tracker.folder(self.parent, Path(folder), "figures")
        self.tracker.end("search", "FINISHED")

    def _end(self, unit: str, run_id: str, told: TrialOutcome) -> None:
        for stage in self._stages_of(told.number):
            self._runs.leave(stage)  # one that another trial waits for is told of again
        tags: dict[str, Any] = {OUTCOME: told.outcome, "vpbsd.reason": told.reason}
        tags["vpbsd.stages"] = json.dumps(told.keys or {})
        self.tracker.rows(
            unit, [{"epoch": e, DSC: dsc, "time": told.time} for e, dsc in told.curve]
        )
        numbers = {f"held_out/dsc/run_{i}": score for i, score in enumerate(told.scores)}
        numbers |= {} if told.value is None else {"objective": told.value}
        numbers |= {} if told.cost is None else {"gmac_torch": told.cost}
        self.tracker.numbers(run_id, numbers, told.time)
        self.tracker.tags(run_id, tags)
        self.tracker.end(unit, STATUS[told.outcome])

    def _stages_of(self, number: int) -> list[Stage]:
        """Of all folds and seeds; none where the configuration cannot be trained."""
        if number not in self._stages:
            try:
                runs = list(self.search.trials(self.journal.asked[number]))
            except BadInput:
                runs = []
            stages = {stage.key: stage for run in runs for stage in run.stage.lineage()}
            self._stages[number] = list(stages.values())
        return self._stages[number]
