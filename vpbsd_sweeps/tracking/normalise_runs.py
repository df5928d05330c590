"""The choice of a normalisation in MLflow: a run for it, per inner trial and per unique stage."""

from __future__ import annotations

from vpbsd.pipeline.normalisation import Scored
from vpbsd_sweeps.provenance import commit
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.normalisation import Selection
from vpbsd_sweeps.tracking import tags as tag
from vpbsd_sweeps.tracking.stage_runs import StageLogger, per_volume
from vpbsd_sweeps.tracking.tracker import Tracker, flat


class NormaliseLogger:
    """The runs of a choice, in an experiment of their own.

    Args:
        selection: What is chosen from.
        store: Its results.
        tracker: The experiment.
    """

    def __init__(self, selection: Selection, store: Store, tracker: Tracker) -> None:
        self.selection, self.store, self.tracker = selection, store, tracker
        tags = {tag.KIND: tag.NORMALISE_KIND, tag.COMMIT: commit(), tag.STORE: store.url}
        params = flat(selection.settings.model_dump(mode="json"))
        tracker.reopen("normalise")
        self.parent = tracker.get_or_create_run("normalise", selection.name, None, params, tags)
        self._stage_logger = StageLogger(store, tracker, self.parent)

    def catch_up(self) -> None:
        """Sends all that is new: rows of running stages, results of stages and inner trials."""
        self._stage_logger.catch_up(self.selection.stages())
        for trial in self.selection.trials:
            if trial.stage.key in self._stage_logger.logged:
                self._log_trial(trial)

    def interrupt(self) -> None:
        """Shows what an interrupted driver leaves as killed, until one goes on with it."""
        self.catch_up()
        self.tracker.end_running("KILLED")

    def conclude(self, text: str) -> None:
        """Ends the choice's run, with what was chosen."""
        self.catch_up()
        self.tracker.log_text(self.parent, text, "normalise.md")
        self.tracker.end("normalise", "FINISHED")

    def _log_trial(self, trial: Scored) -> None:
        unit = f"trial:{trial.id}"
        if self.tracker.is_finished(unit):
            return
        tags = {tag.KIND: tag.NORMALISE_TRIAL_KIND, tag.FOLD: trial.fold}
        params = {"candidate": trial.candidate, "fold": trial.fold, "inner_fold": trial.inner}
        run_id = self.tracker.get_or_create_run(unit, trial.id, self.parent, params, tags)
        rows = self.store.read_json(trial.stage.key, "rows.json")
        self.tracker.log_metrics(run_id, per_volume(rows), rows[-1]["time"])
        self.tracker.end(unit, "FINISHED")
