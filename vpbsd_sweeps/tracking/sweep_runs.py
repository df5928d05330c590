"""A study in MLflow: one run for the sweep, one per trial and one per unique stage.

Everything comes from the study and the store, so a run can be brought up to date at any time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from vpbsd.pipeline.crossings import arm_title
from vpbsd.pipeline.trust import LEAD
from vpbsd_sweeps.provenance import commit
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.identity import data_fingerprint
from vpbsd_sweeps.study.places import stage_places
from vpbsd_sweeps.study.plan import Plan
from vpbsd_sweeps.study.study import Study, Trial
from vpbsd_sweeps.study.void import examined_by, voided_by
from vpbsd_sweeps.tracking import tags as tag
from vpbsd_sweeps.tracking import volume_names
from vpbsd_sweeps.tracking.runs_page import describe, save_view
from vpbsd_sweeps.tracking.stage_runs import SMALL, StageLogger, per_volume
from vpbsd_sweeps.tracking.tracker import Tracker, flat
from vpbsd_sweeps.tracking.trial_pictures import log_trial_pictures

SCORES = ("test/cldice", "test/smd", "test/jaccard", "test/accuracy")
"""Beside DSC and HD95, columns of the trials in MLflow."""


class SweepLogger:
    """A study's runs in MLflow.

    Args:
        study: The study.
        store: Its results.
        tracker: The study's experiment.
        plan: As it was before anything ran.
        normalisation: What was chosen per fold; "" where nothing was.
    """

    def __init__(
        self, study: Study, store: Store, tracker: Tracker, plan: Plan, normalisation: str = ""
    ) -> None:
        self.study, self.store, self.tracker, self.plan = study, store, tracker, plan
        self.normalisation = normalisation
        self._opened: set[str] = set()
        self._logged: set[str] = set()
        self._examined: set[str] = set()
        self._stages = list({stage.key: stage for stage in study.stages()}.values())
        self.parent = self._open_parent()
        self._stage_logger = StageLogger(store, tracker, self.parent, stage_places(study))
        save_view(tracker, "trials", tag.TRIAL_KIND, self._columns(), "metrics.test/dsc")

    def catch_up(self) -> None:
        """Sends all that is new: rows of running stages, results of finished ones, trials."""
        self._stage_logger.catch_up(self._stages)
        for trial in self.study.trials:
            if trial.id not in self._logged:
                self._log_trial(trial)
            if trial.id in self._logged - self._examined:
                self._log_examination(trial)

    def fail(self, trial_id: str, reason: str) -> None:
        """Ends the run of a trial that has no result."""
        trial = next((t for t in self.study.trials if t.id == trial_id), None)
        if trial is None:
            return  # a timing or an examination: their tables show none
        run_id = self._open_trial(trial)
        self.tracker.set_tags(run_id, {tag.REASON: reason, tag.VOID: reason})
        self.tracker.end(f"trial:{trial.id}", "FAILED")

    def leave(self, trials: Sequence[Trial]) -> None:
        """Shows trials that nobody runs now as killed; those that had failed stay so."""
        for trial in trials:
            self.tracker.kill(f"trial:{trial.id}")

    def interrupt(self) -> None:
        """Shows what an interrupted driver leaves as killed, until one goes on with it."""
        self.catch_up()
        self.tracker.end_running("KILLED")

    def describe(self, answer: str, table: str, scores: Mapping[str, float], when: float) -> None:
        """Puts the answer, the table and each arm's DSC where MLflow shows them first.

        Args:
            answer: The verdict, in a sentence.
            table: Markdown.
            scores: Arm -> mean DSC over folds.
            when: When the last trial ended, in seconds since 1970.
        """
        describe(self.tracker, self.parent, answer, table)
        numbers = {f"arms/dsc/{arm}": score for arm, score in scores.items()}
        self.tracker.log_metrics(self.parent, numbers, when)

    def conclude(self, texts: dict[str, str], *, complete: bool) -> None:
        """Ends the sweep's run, with its tables."""
        if self.normalisation:
            texts = {**texts, "normalise.md": self.normalisation}
        for name, text in texts.items():
            self.tracker.log_text(self.parent, text, name)
        self.tracker.end("sweep", "FINISHED" if complete else "FAILED")

    def _open_parent(self) -> str:
        study = self.study
        tags = {
            tag.KIND: tag.SWEEP_KIND,
            tag.COMMIT: commit(),
            tag.DATA: data_fingerprint(study.volumes),
        }
        if self.normalisation:
            tags[tag.NORMALISATION] = self.normalisation
        params = flat(study.settings.model_dump(mode="json"))
        self.tracker.reopen("sweep")
        run_id = self.tracker.get_or_create_run(
            "sweep", study.name, None, params, {**tags, **self._changing()}
        )
        self.tracker.set_tags(run_id, self._changing())  # of a run that was there already
        requested = self.plan.requested()
        counts = {f"stages/requested/{f}": float(n) for f, n in requested.items()}
        counts["stages/unique"] = len(self.plan.inventory.stages)
        self.tracker.log_metrics(run_id, counts, 0)
        return run_id

    def _columns(self) -> list[str]:
        """Returns the columns that MLflow shows of a trial, DSC first of the scores."""
        labelled = [v for v in self.study.volumes if v.labelled]
        classes = next((v.classes for v in labelled), ())
        scores = ["test/dsc", *(f"test/dsc_{name}" for name in classes if len(classes) > 1)]
        scores += ["test/hd95_um" if all(v.spacing_um for v in labelled) else "test/hd95_vox"]
        tags = [f"tags.{name}" for name in (tag.VOID, tag.UNPROVEN)]
        places = [f"params.{name}" for name in ("arm", "fold", "seed")]
        return [*places, *(f"metrics.{name}" for name in (*scores, *SCORES)), *tags]

    def _changing(self) -> dict[str, str]:
        """Returns the tags of the sweep's run that are other ones when the study has grown."""
        groups = {v.name: v.group for v in self.study.volumes if v.labelled}
        return {
            tag.STORE: self.store.url,
            tag.STUDY_IDENTITY: json.dumps(self.study.identity),
            tag.ARMS: " ".join(self.study.arms),
            tag.GROUPS: json.dumps(groups),
        }

    def _open_trial(self, trial: Trial) -> str:
        timing = self.study.timing(trial) if self.study.timed else None
        tags = {
            tag.KIND: tag.TRIAL_KIND,
            tag.ARM: trial.arm,
            tag.FOLD: trial.fold,
            tag.SEED: trial.seed,
            tag.COMMIT: commit(),
            tag.TIMING: timing.key if timing else "",
            tag.STAGES: json.dumps({s.label: s.key for s in trial.stage.lineage()}),
        }
        chosen = self.study.choices.get(trial.fold, {})  # all else are parameters of the sweep
        params = {"arm": trial.arm, "fold": trial.fold, "seed": trial.seed, **chosen}
        unit = f"trial:{trial.id}"
        return self.tracker.get_or_create_run(unit, trial.id, self.parent, params, tags)

    def _log_trial(self, trial: Trial) -> None:
        """Sends a trial once its result is there: curve, metrics per volume, pictures."""
        known = self._stage_logger.logged
        if trial.id not in self._opened:
            if not any(stage.key in known for stage in trial.stage.lineage()):
                return
            self._open_trial(trial)
            self._opened.add(trial.id)
        if trial.stage.key in known:
            if not self.tracker.is_finished(f"trial:{trial.id}"):
                self._log_result(trial, self._open_trial(trial))
            self._logged.add(trial.id)

    def _log_result(self, trial: Trial, run_id: str) -> None:
        unit, files = f"trial:{trial.id}", self.store.read(trial.stage.key, *SMALL)
        numbers, trained = json.loads(files["summary.json"])["numbers"], self._trained(trial)
        for files_above in trained:  # a threshold has no curve
            self.tracker.log_rows(unit, files_above["rows.json"])
        rows, lead = json.loads(files["rows.json"]), _lead(trained)
        numbers |= {} if lead is None else {LEAD: lead}
        self.tracker.log_metrics(run_id, {**per_volume(rows), **numbers}, rows[-1]["time"])
        groups = {row["volume"]: row["group"] for row in rows}
        self.tracker.log_text(run_id, volume_names.listed(groups), volume_names.FILE)
        verdict = self._verdict(trial, lead or 0.0)
        self.tracker.set_tags(run_id, {**verdict, tag.GROUPS: json.dumps(groups)})
        title = f"{arm_title(trial.arm)}, fold {trial.fold}, seed {trial.seed}"
        log_trial_pictures(self.tracker, run_id, files, title, rows[-1]["time"])
        self.tracker.end(unit, "FINISHED")

    def _log_examination(self, trial: Trial) -> None:
        """Tags an ended trial with what was found of the codes it learned, whenever that was.

        Trials of studies that ended before there were examinations are tagged just the same.
        """
        stage, known = examined_by(trial.stage), self._stage_logger.logged
        if stage is not None:
            if stage.key not in known:
                return
            tags = {tag.EXAMINATION: stage.key, tag.UNPROVEN: known[stage.key]}
            self.tracker.set_tags(self._open_trial(trial), tags)
        self._examined.add(trial.id)

    def _trained(self, trial: Trial) -> list[dict[str, Any]]:
        """Reads the rows and the summary of each stage that its end rests on."""
        above = [stage.key for stage in trial.stage.upstream.values()]
        read = [self.store.read(key, "rows.json", "summary.json") for key in above]
        return [{name: json.loads(text) for name, text in files.items()} for files in read]

    def _verdict(self, trial: Trial, lead: float) -> dict[str, str]:
        """Says why a trial does not count, or what is to be known of it, as tags."""
        grave = {stage.key for stage in voided_by(trial.stage)}
        found = {tag.VOID: "", tag.NOTE: distrust(lead)}
        for stage in trial.stage.lineage():
            void = self._stage_logger.logged.get(stage.key)
            if void:
                name = tag.VOID if stage.key in grave else tag.NOTE
                found[name] = found[name] or f"{stage.label}: {void}"
        return found


def _lead(trained: list[dict[str, Any]]) -> float | None:
    """Returns what a teacher was measured to be better by; None where it was not."""
    return next((files["summary.json"]["numbers"].get(LEAD) for files in trained), None)


def distrust(lead: float) -> str:
    """Says that a student did not learn from pseudo-labels, or "" where it did.

    Args:
        lead: DSC of the teacher less that of a student, on a training group left out of both.

    >>> distrust(-0.05)
    "L_semi is off: on a training group left out the teacher's DSC is 0.050 under a Light UNet's"
    >>> distrust(0.0)
    ''
    """
    if lead >= 0:
        return ""
    return (
        f"L_semi is off: on a training group left out the teacher's DSC is {-lead:.3f} under a "
        "Light UNet's"
    )
