"""A search in MLflow: one run for the search, one per trial and one per stage.

All of it comes from the journal and the store, so any driver brings it up to date at any time, and
nothing arrives twice.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vpbsd.errors import BadInput
from vpbsd.pipeline.stages import Stage
from vpbsd.training.validation_epochs import DSC
from vpbsd_sweeps.provenance import commit
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.tracking import tags as tag
from vpbsd_sweeps.tracking.runs_page import save_view
from vpbsd_sweeps.tracking.stage_runs import StageLogger
from vpbsd_sweeps.tracking.tracker import Tracker, flat
from vpbsd_sweeps.tuning.journal import Journal, Outcome, TrialOutcome
from vpbsd_sweeps.tuning.search_spec import Search

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
        tags = {tag.KIND: tag.SEARCH_KIND, tag.COMMIT: commit()}
        tags[tag.STUDY_IDENTITY] = json.dumps(search.identity)
        settings = flat(search.space.settings.model_dump(mode="json"))
        params = {"arm": search.arm, "sampler": search.sampler, "seed": search.seed, **settings}
        tracker.reopen("search")
        self.parent = tracker.get_or_create_run("search", search.name, None, params, tags)
        self._stage_logger = StageLogger(store, tracker, self.parent)
        self._stages: dict[int, list[Stage]] = {}
        varied = (*search.space.teacher, *search.space.student)
        columns = ["metrics.objective", "metrics.gmac_torch", f"tags.{tag.OUTCOME}"]
        columns += [f"params.{parameter.path}" for parameter in varied]
        save_view(tracker, "trials", tag.SEARCH_TRIAL_KIND, columns, "metrics.objective")

    def catch_up(self) -> None:
        """Sends every trial that began and its stages, and how those that ended did."""
        asked = list(self.journal.asked.items())  # it grows meanwhile
        left = [(n, p) for n, p in asked if not self.tracker.has_tag(f"trial:{n}", tag.OUTCOME)]
        outcomes = {number: self.journal.outcomes.get(number) for number, _ in left}
        self._stage_logger.catch_up(stage for n, _ in left for stage in self._stages_of(n))
        for number, params in left:
            unit, outcome = f"trial:{number}", outcomes[number]
            tags = {tag.KIND: tag.SEARCH_TRIAL_KIND, tag.ARM: self.search.arm}
            name = f"trial-{number}"
            run_id = self.tracker.get_or_create_run(unit, name, self.parent, params, tags)
            if outcome is not None:
                self._end(unit, run_id, outcome)

    def interrupt(self) -> None:
        """Shows what an interrupted driver leaves as killed, until one goes on with it."""
        self.catch_up()
        self.tracker.end_running("KILLED")

    def conclude(self, report: str, figures: Path | None = None) -> None:
        """Sends what is new, and ends the search's run.

        Args:
            report: What was found, as Markdown.
            figures: A folder of pictures of it.
        """
        self.catch_up()
        self.tracker.log_text(self.parent, report, "search.md")
        if figures is not None and any(figures.iterdir()):
            self.tracker.log_folder(self.parent, figures, "figures")
        self.tracker.end("search", "FINISHED")

    def _end(self, unit: str, run_id: str, outcome: TrialOutcome) -> None:
        for stage in self._stages_of(outcome.number):
            self._stage_logger.abandon(stage)  # one that another trial waits for is logged again
        tags: dict[str, Any] = {tag.OUTCOME: outcome.outcome, tag.REASON: outcome.reason}
        tags[tag.STAGES] = json.dumps(outcome.keys or {})
        rows = [{"epoch": e, DSC: dsc, "time": outcome.time} for e, dsc in outcome.curve]
        self.tracker.log_rows(unit, rows)
        numbers = {f"held_out/dsc/run_{i}": score for i, score in enumerate(outcome.scores)}
        numbers |= {} if outcome.value is None else {"objective": outcome.value}
        numbers |= {} if outcome.cost is None else {"gmac_torch": outcome.cost}
        self.tracker.log_metrics(run_id, numbers, outcome.time)
        self.tracker.set_tags(run_id, tags)
        self.tracker.end(unit, STATUS[outcome.outcome])
        del self._stages[outcome.number]

    def _stages_of(self, number: int) -> list[Stage]:
        """Returns those of all folds and seeds; none where it cannot be trained."""
        if number not in self._stages:
            try:
                runs = list(self.search.trials(self.journal.asked[number]))
            except BadInput:
                runs = []
            stages = {stage.key: stage for run in runs for stage in run.stage.lineage()}
            self._stages[number] = list(stages.values())
        return self._stages[number]
