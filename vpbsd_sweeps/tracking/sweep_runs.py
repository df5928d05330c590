"""What MLflow is told of a study: one run per sweep, per trial and per unique stage.

Everything comes from the study and the store, so a run can be brought up to date at any time.
"""

from __future__ import annotations

import json

from vpbsd_sweeps.provenance import commit
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.identity import data_fingerprint
from vpbsd_sweeps.study.plan import Plan
from vpbsd_sweeps.study.study import Study, Trial
from vpbsd_sweeps.study.void import voided_by
from vpbsd_sweeps.tracking.stage_runs import Row, StageLogger, rows_of, show
from vpbsd_sweeps.tracking.tracker import Tracker, flat


class SweepLogger:
    """Brings MLflow up to date with a study.

    Args:
        study: The study.
        store: Its results.
        tracker: The study's experiment.
        plan: As it was before anything ran.
    """

    def __init__(self, study: Study, store: Store, tracker: Tracker, plan: Plan) -> None:
        self.study, self.store, self.tracker, self.plan = study, store, tracker, plan
        self._told: set[str] = set()
        self._stages = list({stage.key: stage for stage in study.stages()}.values())
        self.parent = self._open_parent()
        self._runs = StageLogger(store, tracker, self.parent)

    def catch_up(self) -> None:
        """Tells all that is new: rows of running stages, results of finished ones, trials."""
        for stage in self._stages:
            self._runs.tell(stage)
        for trial in self.study.trials:
            if f"trial:{trial.id}" not in self._told:
                self._trial(trial)

    def fail(self, trial_id: str, reason: str) -> None:
        """A trial ended without a result."""
        trial = next((t for t in self.study.trials if t.id == trial_id), None)
        if trial is None:
            return  # a timing: its table shows none
        run_id = self._open_trial(trial)
        self.tracker.tags(run_id, {"vpbsd.reason": reason, "vpbsd.void": reason})
        self.tracker.end(f"trial:{trial.id}", "FAILED")

    def interrupt(self) -> None:
        """The driver is told to end: what it leaves is shown as killed, until it goes on."""
        self.catch_up()
        self.tracker.end_running("KILLED")

    def conclude(self, texts: dict[str, str], *, complete: bool) -> None:
        """Ends the sweep's run, with its tables."""
        for name, text in texts.items():
            self.tracker.text(self.parent, text, name)
        self.tracker.end("sweep", "FINISHED" if complete else "FAILED")

    def _open_parent(self) -> str:
        study = self.study
        tags = {
            "vpbsd.kind": "sweep",
            "vpbsd.commit": commit(),
            "vpbsd.data": data_fingerprint(study.volumes),
            "vpbsd.store": self.store.url,
            "vpbsd.facts": json.dumps(study.identity),
            "vpbsd.groups": json.dumps({v.name: v.group for v in study.volumes if v.labelled}),
        }
        params = {**flat(study.settings.model_dump(mode="json")), "arms": " ".join(study.arms)}
        self.tracker.reopen("sweep")
        run_id = self.tracker.ensure("sweep", study.name, None, params, tags)
        requested = self.plan.requested()
        counts = {f"stages/requested/{f}": float(n) for f, n in requested.items()}
        self.tracker.numbers(
            run_id, {**counts, "stages/unique": len(self.plan.inventory.stages)}, 0
        )
        return run_id

    def _open_trial(self, trial: Trial) -> str:
        tags = {
            "vpbsd.kind": "trial",
            "vpbsd.arm": trial.arm,
            "vpbsd.fold": trial.fold,
            "vpbsd.seed": trial.seed,
            "vpbsd.commit": commit(),
            "vpbsd.timing": self.study.timing(trial).key if self.study.timed else "",
            "vpbsd.stages": json.dumps({s.label: s.key for s in trial.stage.lineage()}),
        }
        settings = flat(self.study.settings.model_dump(mode="json"))
        params = {"arm": trial.arm, "fold": trial.fold, "seed": trial.seed, **settings}
        unit = f"trial:{trial.id}"
        return self.tracker.ensure(unit, trial.id, self.parent, params, tags)

    def _trial(self, trial: Trial) -> None:
        """A trial is told once its result is there: curve, metrics per volume, pictures."""
        unit = f"trial:{trial.id}"
        if self.store.state(trial.stage.key) != "stored":
            if any(s.key in self._runs.told for s in trial.stage.lineage()):
                self._open_trial(trial)
            return
        run_id = self._open_trial(trial)
        manifest = self.store.manifest(trial.stage.key)
        if manifest is None:
            return
        if self.tracker.is_finished(unit):
            self._told.add(unit)
            return
        folder = self.store.open(trial.stage.key)
        trained = trial.stage.upstream["network"]
        self.tracker.rows(unit, rows_of(self.store.open(trained.key)))
        rows = rows_of(folder)
        numbers = json.loads((folder / "summary.json").read_text())["numbers"]
        self.tracker.numbers(run_id, {**per_volume(rows), **numbers}, rows[-1]["time"])
        groups = {row["volume"]: row["group"] for row in rows}
        self.tracker.tags(run_id, {**self._blemish(trial), "vpbsd.groups": json.dumps(groups)})
        show(self.tracker, run_id, folder)
        self.tracker.end(unit, "FINISHED")
        self._told.add(unit)

    def _blemish(self, trial: Trial) -> dict[str, str]:
        """Why a trial does not count, or what is to be known of it."""
        grave = {stage.key for stage in voided_by(trial.stage)}
        found = {"vpbsd.void": "", "vpbsd.note": ""}
        for stage in trial.stage.lineage():
            manifest = self.store.manifest(stage.key)
            if manifest is not None and manifest.metadata["void"]:
                name = "vpbsd.void" if stage.key in grave else "vpbsd.note"
                found[name] = found[name] or f"{stage.label}: {manifest.metadata['void']}"
        return found


def per_volume(rows: list[Row]) -> dict[str, float]:
    """`test/<metric>/vol_<name>` for every volume, and `test/<metric>` for their mean."""
    names = [k for k, v in rows[0].items() if isinstance(v, float | int) and k != "time"]
    told = {f"test/{k}/vol_{row['volume']}": float(row[k]) for row in rows for k in names}
    means = {f"test/{k}": sum(row[k] for row in rows) / len(rows) for k in names}
    return {**told, **means}
