"""A study in MLflow: one run for the sweep, one per trial and one per unique stage.

Everything comes from the study and the store, so a run can be brought up to date at any time.
"""

from __future__ import annotations

import json

from vpbsd.pipeline.stages import Stage
from vpbsd.pipeline.trust import LEAD
from vpbsd_sweeps.provenance import commit
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.identity import data_fingerprint
from vpbsd_sweeps.study.plan import Plan
from vpbsd_sweeps.study.study import Study, Trial
from vpbsd_sweeps.study.void import examined_by, voided_by
from vpbsd_sweeps.tracking import tags as tag
from vpbsd_sweeps.tracking import volume_names
from vpbsd_sweeps.tracking.stage_runs import StageLogger, log_pictures, per_volume, read_rows
from vpbsd_sweeps.tracking.tracker import Tracker, flat


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
        self._logged: set[str] = set()
        self._examined: set[str] = set()
        self._stages = list({stage.key: stage for stage in study.stages()}.values())
        self.parent = self._open_parent()
        self._stage_logger = StageLogger(store, tracker, self.parent)

    def catch_up(self) -> None:
        """Sends all that is new: rows of running stages, results of finished ones, trials."""
        for stage in self._stages:
            self._stage_logger.log(stage)
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

    def interrupt(self) -> None:
        """Shows what an interrupted driver leaves as killed, until one goes on with it."""
        self.catch_up()
        self.tracker.end_running("KILLED")

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
        settings = flat(self.study.settings_in(trial.fold).model_dump(mode="json"))
        params = {"arm": trial.arm, "fold": trial.fold, "seed": trial.seed, **settings}
        unit = f"trial:{trial.id}"
        return self.tracker.get_or_create_run(unit, trial.id, self.parent, params, tags)

    def _log_trial(self, trial: Trial) -> None:
        """Sends a trial once its result is there: curve, metrics per volume, pictures."""
        if self.store.state(trial.stage.key) != "stored":
            if any(s.key in self._stage_logger.logged for s in trial.stage.lineage()):
                self._open_trial(trial)
            return
        run_id = self._open_trial(trial)
        if self.store.manifest(trial.stage.key) is None:
            return
        if not self.tracker.is_finished(f"trial:{trial.id}"):
            self._log_result(trial, run_id)
        self._logged.add(trial.id)

    def _log_result(self, trial: Trial, run_id: str) -> None:
        unit, folder = f"trial:{trial.id}", self.store.open(trial.stage.key)
        for trained in trial.stage.upstream.values():  # a threshold has no curve
            self.tracker.log_rows(unit, read_rows(self.store.open(trained.key)))
        rows, lead = read_rows(folder), self._lead(trial)
        numbers = self._numbers(trial.stage) | ({} if lead is None else {LEAD: lead})
        self.tracker.log_metrics(run_id, {**per_volume(rows), **numbers}, rows[-1]["time"])
        groups = {row["volume"]: row["group"] for row in rows}
        self.tracker.log_text(run_id, volume_names.listed(groups), volume_names.FILE)
        self.tracker.set_tags(run_id, {**self._verdict(trial), tag.GROUPS: json.dumps(groups)})
        log_pictures(self.tracker, run_id, folder)
        self.tracker.end(unit, "FINISHED")

    def _log_examination(self, trial: Trial) -> None:
        """Tags an ended trial with what was found of the codes it learned, whenever that was.

        Trials of studies that ended before there were examinations are tagged just the same.
        """
        stage = examined_by(trial.stage)
        if stage is not None:
            manifest = self.store.manifest(stage.key)
            if manifest is None:
                return
            reason = manifest.metadata["void"] or ""
            tags = {tag.EXAMINATION: stage.key, tag.UNPROVEN: reason}
            self.tracker.set_tags(self._open_trial(trial), tags)
        self._examined.add(trial.id)

    def _numbers(self, stage: Stage) -> dict[str, float]:
        text = (self.store.open(stage.key) / "summary.json").read_text()
        numbers: dict[str, float] = json.loads(text)["numbers"]
        return numbers

    def _lead(self, trial: Trial) -> float | None:
        """Returns what its teacher was measured to be better by; None where it was not."""
        trained = trial.stage.upstream.values()
        return next((self._numbers(stage).get(LEAD) for stage in trained), None)

    def _verdict(self, trial: Trial) -> dict[str, str]:
        """Says why a trial does not count, or what is to be known of it, as tags."""
        lead = self._lead(trial) or 0.0
        grave = {stage.key for stage in voided_by(trial.stage)}
        found = {tag.VOID: "", tag.NOTE: distrust(lead)}
        for stage in trial.stage.lineage():
            manifest = self.store.manifest(stage.key)
            if manifest is not None and manifest.metadata["void"]:
                name = tag.VOID if stage.key in grave else tag.NOTE
                found[name] = found[name] or f"{stage.label}: {manifest.metadata['void']}"
        return found


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
